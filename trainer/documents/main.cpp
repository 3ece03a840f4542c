// trainer_documents FOLDER DATE: writes the manual pages and the shells' completion there, as a package
// installs them. Part of making a package (cmake/package.cmake), never installed.
#include <cstdio>
#include <exception>
#include <fmt/format.h>

#include "models/spec.hpp"
#include "trainer/commands/commands.hpp"
#include "trainer/documents/completion.hpp"
#include "trainer/documents/manual_page.hpp"
#include "trainer/store/environment.hpp"
#include "trainer/system/files.hpp"
#include "trainer/system/version.hpp"

namespace {

namespace fs = std::filesystem;
using trainer::CommandNode;

void write_pages(const CommandNode& command, const trainer::ManualSource& source, const fs::path& folder) {
  trainer::write_file_durably(folder / (command.joined("-") + ".1"), trainer::manual_page(command, source));
  for (const CommandNode& child : command.children) write_pages(child, source, folder);
}

int write_documents(int argc, char** argv) {
  if (argc != 3) {
    std::fputs("usage: trainer_documents FOLDER DATE\n", stderr);
    return 2;
  }
  const trainer::Environment environment = trainer::read_environment(argc, argv);
  const std::unique_ptr<CLI::App> app = trainer::make_app();
  const trainer::Commands commands(*app, environment);
  const CommandNode root = trainer::command_tree(*app);
  const fs::path folder = argv[1];
  fs::create_directories(folder);
  write_pages(root, {trainer::kVersion, argv[2]}, folder);
  std::vector<std::string> models;
  for (const trainer::Spec& spec : trainer::all_specs(trainer::models_folder(environment)))
    models.push_back(spec.name);
  trainer::write_file_durably(folder / "trainer.bash", trainer::bash_completion(root, models));
  trainer::write_file_durably(folder / "_trainer", trainer::zsh_completion(root, models));
  return 0;
}

}  // namespace

int main(int argc, char** argv) {
  try {
    return write_documents(argc, argv);
  } catch (const std::exception& error) {
    std::fputs(fmt::format("error: {}\n", error.what()).c_str(), stderr);
    return 1;
  }
}
