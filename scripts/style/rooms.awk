# Compares the lines of each room of the product with its budget (rooms.txt); its input is `wc -l` of the product's sources.
# Prints path:line: why if a room has no row or more lines than its budget; with -v table=1 the table itself.

function room(path) {
  if (path in most) return path
  sub(/\/[^\/]*$/, "", path)
  return path
}

BEGIN {
  while ((getline row < rooms) > 0) {
    ++number
    if (row ~ /^#/ || split(row, cell, / *[|] */) < 3) continue
    order[++count] = cell[1]
    most[cell[1]] = cell[2]
    may[cell[1]] = cell[3]
    line[cell[1]] = number
  }
}

$2 != "total" {
  name = room($2)
  lines[name] += $1
  ++files[name]
  if (!(name in most) && !told[name]++) printf "%s:1: no row for the room %s in scripts/style/rooms.txt\n", $2, name
}

END {
  if (table) printf "%-26s %6s %6s %6s  %s\n", "room", "lines", "most", "files", "may include"
  for (i = 1; i <= count; ++i) {
    name = order[i]
    total += lines[name]
    all += files[name]
    if (table) printf "%-26s %6d %6d %6d  %s\n", name, lines[name], most[name], files[name], may[name]
    else if (lines[name] > most[name])
      printf "%s:%d: %s has %d lines; its budget is %d\n", rooms, line[name], name, lines[name], most[name]
    else if (!files[name]) printf "%s:%d: %s has no file\n", rooms, line[name], name
  }
  if (table) printf "%-26s %6d %6s %6d\n", "all", total, "", all
}
