// trainer_documents FOLDER DATE: writes the manual pages into FOLDER. It helps to make a package (cmake/package.cmake) and is
// never installed.
#include <cstdio>
#include <exception>
#include <filesystem>
#include <fmt/format.h>

#include "trainer/commands/commands.hpp"
#include "trainer/documents/manual_page.hpp"
#include "trainer/store/environment.hpp"
#include "trainer/system/files.hpp"
#include "trainer/system/version.hpp"

namespace {

namespace fs = std::filesystem;

void write_pages(const CLI::App& command, const trainer::ManualSource& source, const fs::path& folder) {
  trainer::write_file_durably(folder / (trainer::whole_name(command, '-') + ".1"),
                              trainer::manual_page(command, source));
  for (const CLI::App* child : command.get_subcommands(nullptr)) write_pages(*child, source, folder);
}

int write_documents(int argc, char** argv) {
  if (argc != 3) {
    std::fputs("usage: trainer_documents FOLDER DATE\n", stderr);
    return 2;
  }
  const trainer::Environment environment = trainer::read_environment(argc, argv);
  const std::unique_ptr<CLI::App> app = trainer::make_app();
  const std::function<int()> unused = trainer::add_commands(*app, environment);
  std::filesystem::create_directories(argv[1]);
  write_pages(*app, {trainer::kVersion, argv[2]}, argv[1]);
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
