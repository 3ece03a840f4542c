# Compares the map of rooms in CONTRIBUTING.md (between <!-- rooms --> and <!-- end -->) with rooms.txt: it has every room once,
# above all rooms that it may include, and nothing else. Prints path:line: why. Called with -v rooms=FILE on the document.
# A line of the map that names a room begins with its path after the frame: "| trainer/runs   what it holds".

function refuse(line, why) { printf "%s:%d: the map of rooms: %s\n", document, line, why }

BEGIN {
  while ((getline row < rooms) > 0)
    if (row !~ /^#/ && split(row, cell, / *[|] */) >= 3) may[cell[1]] = cell[3]
}

FNR == 1 { document = FILENAME }
/<!-- rooms -->/ { inside = FNR }
/<!-- end -->/ { inside = 0 }

inside && match($0, /(trainer|kernels|models|data)(\/[a-z_.\/]*)?( |$)/) && $0 ~ /^[| ]*(trainer|kernels|models|data)[ \/]/ {
  name = substr($0, RSTART, RLENGTH)
  sub(/ $/, "", name)
  if (!(name in may)) refuse(FNR, name " is no room of " rooms)
  else if (name in place) refuse(FNR, name " stands there twice")
  place[name] = FNR
}

END {
  for (name in may) {
    if (!(name in place)) {
      refuse(1, name " is not in it")
      continue
    }
    count = split(may[name], other, " ")
    for (i = 1; i <= count; ++i)
      if (other[i] in place && place[other[i]] <= place[name]) refuse(place[name], name " includes " other[i] " and stands below it")
  }
}
