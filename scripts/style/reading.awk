# Compares the reading path (reading_path.txt) with the files that it names; its other input is their `wc -l`.
# Prints path:line: why if a file is missing or named twice or all have more lines than `most`; with -v table=1 the part of
# CONTRIBUTING.md that shows it, with -v total=1 the number of lines.

FILENAME == list {
  if (/^#/ || NF == 0) next
  ++count
  line[count] = FNR
  if (sub(/^\[/, "") && sub(/\]$/, "")) {
    part[count] = $0
    next
  }
  split($0, cell, / *[|] */)
  file[count] = cell[1]
  what[count] = cell[2]
  if (cell[1] in seen && !table && !total) printf "%s:%d: %s is named twice\n", list, FNR, cell[1]
  seen[cell[1]] = 1
  next
}

$2 != "total" {
  lines[$2] = $1
  all += $1
}

END {
  for (i = 1; i <= count; ++i) {
    if (file[i] == "") {
      if (table) printf "\n**%s**\n\n", part[i]
    } else if (!(file[i] in lines)) {
      if (!table && !total) printf "%s:%d: there is no %s\n", list, line[i], file[i]
    } else if (table) {
      printf "%d. `%s`: %s\n", ++number, file[i], what[i]
    }
  }
  if (table) print ""
  else if (total) print all
  else if (all > most) printf "%s:1: the reading path has %d lines; %d are the most\n", list, all, most
}
