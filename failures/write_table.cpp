// Writes the rows of failures/*.yaml as one constant table in C++: write_table OUTPUT FILE... Every row is checked here, so that a
// field that is missing, unknown or written twice ends the build with its place; what the fields are says failures/README.md.
#include <exception>
#include <filesystem>
#include <fstream>
#include <iostream>
#include <set>
#include <sstream>
#include <stdexcept>
#include <string>
#include <yaml-cpp/yaml.h>

namespace {

using Names = std::set<std::string>;

std::runtime_error fault(const YAML::Node& node, const std::string& what) {
  return std::runtime_error("line " + std::to_string(node.Mark().line + 1) + ": " + what);
}

void require_fields(const YAML::Node& map, const Names& required, const Names& optional) {
  if (!map.IsMap()) throw fault(map, "a map of fields is expected");
  Names seen;
  for (const auto& field : map) {
    const auto name = field.first.as<std::string>();
    if (!required.contains(name) && !optional.contains(name))
      throw fault(field.first, "unknown field " + name);
    if (!seen.insert(name).second) throw fault(field.first, name + " is given twice");
  }
  for (const std::string& name : required)
    if (!seen.contains(name) || map[name].IsNull()) throw fault(map, "no " + name);
}

// As a string literal of C++; empty where the field is not given.
std::string literal(const YAML::Node& value) {
  std::string text = "\"";
  for (const char letter : value ? value.as<std::string>() : "") {
    if (letter == '"' || letter == '\\') text += '\\';
    text += letter;
    if (letter == '\n') throw fault(value, "a text is one line");
  }
  return text + "\"";
}

// `name` with its declaration written to `out`, or "{}" where there is nothing to declare.
template <typename Item>
std::string declared(std::ostream& out, const std::string& type, const std::string& name,
                     const YAML::Node& list, const Item& item) {
  if (!list || list.size() == 0) return "{}";
  out << "constexpr " << type << ' ' << name << "[] = {";
  for (const YAML::Node& each : list) out << item(each) << ",\n    ";
  out << "};\n";
  return name;
}

std::string finding(const YAML::Node& found) {
  require_fields(found, {"cause"}, {"when", "fix"});
  return "{" + literal(found["when"]) + ", " + literal(found["cause"]) + ", " + literal(found["fix"]) + "}";
}

// A text of `says`: a * stands at the end of a part between two gaps only.
std::string text_to_find(const YAML::Node& said) {
  const auto text = said.as<std::string>();
  for (std::size_t star = text.find('*'); star != std::string::npos; star = text.find('*', star + 1))
    if (star + 1 < text.size() && text.compare(star + 1, 5, " ... ") != 0)
      throw fault(said, "a * is followed by the end or by ' ... '");
  return literal(said);
}

struct Table {
  std::ostringstream parts;    // what the rows refer to
  std::ostringstream rows;     //
  std::ostringstream classes;  //
  Names keys;

  void add_row(const std::string& kind, const YAML::Node& row) {
    require_fields(row, {"key", "example", "cause", "sure", "fix"}, {"says", "codes", "xids", "found"});
    if (!row["says"] && !row["found"] && !row["xids"])
      throw fault(row, "no message finds this row: neither says nor found");
    if (!keys.insert(row["key"].as<std::string>()).second)
      throw fault(row, literal(row["key"]) + " is another row's key");
    const std::string number = std::to_string(keys.size());
    const auto code = [](const YAML::Node& each) { return each.as<std::string>(); };
    YAML::Node codes;  // with the Xid numbers after the others
    for (const YAML::Node& each : row["codes"]) codes.push_back(std::to_string(each.as<int>()));
    for (const YAML::Node& each : row["xids"])
      codes.push_back("kFirstXid + " + std::to_string(each.as<int>()));
    rows << "    {" << literal(row["key"]) << ", FailureClass::" << kind << ", " << literal(row["example"])
         << ",\n     " << declared(parts, "std::string_view", "kSays" + number, row["says"], text_to_find)
         << ", " << declared(parts, "int", "kCodes" + number, codes, code) << ",\n     "
         << literal(row["cause"]) << ",\n     " << literal(row["sure"]) << ",\n     " << literal(row["fix"])
         << ",\n     " << declared(parts, "Finding", "kFound" + number, row["found"], finding) << "},\n";
  }

  void add_file(const std::filesystem::path& path) {
    const YAML::Node file = YAML::LoadFile(path.string());
    require_fields(file, {"class", "meaning", "failures"}, {});
    const auto kind = file["class"].as<std::string>();
    if (kind != path.stem()) throw fault(file, "the class is not the file's name");
    classes << "    {FailureClass::" << kind << ", " << literal(file["meaning"]) << "},\n";
    for (const YAML::Node& row : file["failures"]) add_row(kind, row);
  }

  void write(std::ostream& out) const {
    out << "// Written by failures/write_table.cpp from failures/*.yaml.\n"
           "#include \"kernels/gpu_host/known_failures.hpp\"\n\n"
           "namespace trainer {\n\nnamespace {\n\n"
        << parts.str() << "\nconstexpr KnownFailure kRows[] = {\n"
        << rows.str() << "};\n\nconstexpr ClassMeaning kClasses[] = {\n"
        << classes.str()
        << "};\n\n}  // namespace\n\n"
           "std::span<const KnownFailure> known_failures() {\n  return kRows;\n}\n\n"
           "std::span<const ClassMeaning> class_meanings() {\n  return kClasses;\n}\n\n"
           "}  // namespace trainer\n";
  }
};

}  // namespace

int main(int count, char** arguments) {
  Table table;
  for (int i = 2; i < count; ++i) {
    try {
      table.add_file(arguments[i]);
    } catch (const std::exception& error) {
      std::cerr << arguments[i] << ": " << error.what() << '\n';
      return 1;
    }
  }
  std::ofstream out(arguments[1]);
  table.write(out);
  out.close();
  return out ? 0 : 1;
}
