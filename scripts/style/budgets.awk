# Checks a source file's budgets: at most 300 lines, functions of at most 60, an opening comment; prints path:line: why.
# It reads formatted code: a function ends at the first closing brace that is indented as far as the function's first
# line, so lambdas and blocks count as part of the function they are in. The comment at the top of x.hpp serves x.cpp.

function end_of_file() {
  if (lines > 300) printf "%s:1: %d lines; 300 are the most\n", name, lines
}

function end_of_function(length_of_it) {
  if (length_of_it > 60) printf "%s:%d: a function of %d lines; 60 are the most\n", FILENAME, first, length_of_it
  in_function = 0
  first = 0
}

function has_own_header(path,  line) {
  return sub(/[.]cpp$/, ".hpp", path) && (getline line < path) >= 0
}

FNR == 1 {
  end_of_file()
  name = FILENAME
  in_function = 0
  first = 0
  if ($0 !~ /^\/\// && !has_own_header(FILENAME))
    printf "%s:1: the file does not open with a comment that says what it is\n", FILENAME
}

{ lines = FNR }

in_function {
  if (substr($0, 1, depth + 1) == closing) end_of_function(FNR - first + 1)
  next
}

/^ *$/ || /^ *(\/\/|#)/ { first = 0; next }

# The first line of a statement or declaration.
!first {
  first = FNR
  match($0, /[^ ]/)
  depth = RSTART - 1
}

# Types and namespaces are entered; a table is not a function.
/^ *(template *<.*> *)?(inline *)?(namespace|class|struct|union|enum|extern "C")[ {]/ || /= *\{$/ {
  in_type = /[^;]$/ && !/\{.*\}/
}

/\{$/ {
  if (!in_type) {
    in_function = 1
    closing = sprintf("%" depth "s", "") "}"
  } else {
    first = 0
  }
  in_type = 0
  next
}

/[;}:]$/ || /[;}] *\/\// { first = 0; in_type = 0 }

END { end_of_file() }
