# Finds replaced identifiers (banned.txt); prints path:line: why. Called with -v banned=FILE on sources, scripts,
# build files and documents. Strings of C++ and Python are skipped: they hold the words of files and messages, which stay.
# A plain word is an identifier only in code; in a comment or a document it is English. A word with a _, with a capital after its
# first letter, or in Markdown's `code` is an identifier anywhere.

# Returns what to write instead of this word, or nothing if it may stay.
function instead_of(word,  i) {
  if (index(stays[word], " " FILENAME " ")) return ""
  if (word in instead) return instead[word]
  for (i = 1; i <= stems; ++i)
    if (index(word, stem[i]) == 1) return instead[stem[i] "*"]
  return ""
}

function refuse(word, where) {
  if (instead_of(word) != "") printf "%s:%d: %s%s: write %s (scripts/style/banned.txt)\n", FILENAME, FNR, where, word, instead_of(word)
}

# Checks each identifier of a text; plain words only where they count.
function look(text, plain, where,  word) {
  while (match(text, /[A-Za-z_][A-Za-z0-9_]*/)) {
    word = substr(text, RSTART, RLENGTH)
    text = substr(text, RSTART + RLENGTH)
    if (plain || word ~ /_|^.+[A-Z]/) refuse(word, where)
  }
}

BEGIN {
  while ((getline row < banned) > 0) {
    if (row ~ /^#/ || split(row, cell, / *[|] */) < 2) continue
    instead[cell[1]] = cell[2]
    stays[cell[1]] = " " cell[3] " "
    if (sub(/[*]$/, "", cell[1])) stem[++stems] = cell[1]
  }
}

FNR == 1 {
  look(FILENAME, 1, "a file's name has ")
  document = FILENAME ~ /[.]md$/
  quoted = FILENAME ~ /[.](cpp|hpp|cu|cuh|h|py)$/
  comment = FILENAME ~ /[.](cpp|hpp|cu|cuh|h)$/ ? "//" : "#"
}

document {
  count = split($0, piece, "`")
  for (i = 1; i <= count; ++i) look(piece[i], i % 2 == 0, "")
  next
}

{
  line = $0
  if (quoted) gsub(/"([^"\\]|\\.)*"/, "\"\"", line)
  at = index(line, comment)
  look(at ? substr(line, 1, at - 1) : line, 1, "")
  if (at) look(substr(line, at), 0, "")
}
