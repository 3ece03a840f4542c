# shellcheck shell=bash disable=SC2154
# What is expected of an image, one function per promise; each runs containers and fails with what it saw. To be sourced.
# $image is the image to check, $work a folder for results.

# expect TEXT PATTERN: requires that a line of the text matches this extended regular expression.
expect() { grep -Eq -- "$2" <<<"$1" || { printf 'expected /%s/ in:\n%s\n' "$2" "$1" >&2 && return 1; }; }

# refuse TEXT PATTERN: requires that none does.
refuse() { ! grep -Eq -- "$2" <<<"$1" || { printf 'found /%s/ in:\n%s\n' "$2" "$1" >&2 && return 1; }; }

# expect_status WANTED FOUND TEXT
expect_status() { [[ $1 == "$2" ]] || { printf 'exit status %s instead of %s:\n%s\n' "$2" "$1" "$3" >&2 && return 1; }; }

# contained ARGS...: runs the image as users are told to, without network and with a read-only root;
# sets $said and $status.
contained() {
  status=0
  said=$(docker run --rm --network none --read-only "$@" 2>&1) || status=$?
}

# shell COMMAND: runs it in the image.
shell() { docker run --rm --network none --entrypoint /bin/sh "$image" -c "$1"; }

megabytes_of() { docker image inspect --format '{{.Size}}' "$1" | awk '{ printf "%d", $1 / 1e6 }'; }

# is_small MOST [BASE]: requires a size of at most MOST MB, not counting the base if one is named.
is_small() {
  local bytes
  bytes=$(megabytes_of "$image")
  [[ -z ${2:-} ]] || bytes=$((bytes - $(megabytes_of "$2")))
  echo "    $bytes MB${2:+ without the base}, $1 are the most"
  ((bytes <= $1))
}

has_labels() {
  local labels name
  labels=$(docker image inspect --format '{{range $name, $value := .Config.Labels}}{{println $name $value}}{{end}}' "$image")
  for name in "$@"; do expect "$labels" "^$name .+" || return; done
  expect "$labels" "^org.opencontainers.image.revision $(git -C "$root" describe --always --dirty --abbrev=12 --exclude '*')"
}

# The program names the commit that it was built from, although it was built without the repository.
names_its_commit() {
  contained "$image" --version
  expect "$said" "^trainer $(sed -n 's/^project(mnist_trainer VERSION \([0-9.]*\).*/\1/p' "$root/CMakeLists.txt") [0-9a-f]{12}"
}

holds_no_tools() {
  expect "$(shell 'id -u; id -g')" '^1000$' &&
    refuse "$(shell 'ls / /usr/bin /usr/local/cuda/bin /opt/mnist-trainer 2>&1')" '^(src|g[+][+].*|cmake|ninja|nvcc|include)$'
}

# Without a writable folder the program says what to do, and that works.
says_where_it_may_write() {
  contained "$image" train --epochs 1 --limit-train 2000
  expect_status 1 "$status" "$said" && expect "$said" 'cannot write results in /work/runs: Read-only file system' &&
    expect "$said" 'docker run -v "[$]PWD:/work" --user' && expect "$said" 'no-save' || return
  contained "$image" train --epochs 1 --limit-train 2000 --no-save
  expect_status 0 "$status" "$said" && expect "$said" 'NOTHING IS SAVED' && expect "$said" '^accuracy '
}

# Trains an epoch on the shipped data; the results go to a folder of a host user who is neither root nor the image's user.
trains_into_a_folder() {
  local folder=$work/results run
  install --directory --owner=1234 --group=1234 "$folder"
  contained --volume "$folder:/work" --user 1234:1234 "$image" train --epochs 1
  expect_status 0 "$status" "$said" && expect "$said" '^epoch 1/1 .* test 9[89]' || return
  expect "$said" '^GPU +none used: ' || return
  run=$(echo "$folder"/runs/*)
  [[ -s $run/model.safetensors && $(stat -c %u:%g "$run/run.json") == 1234:1234 ]] || { ls -ln "$run" && return 1; }
  expect "$(<"$run/run.json")" '"status": "finished"' || return
  contained --volume "$folder:/work" --user 1234:1234 "$image" eval last
  expect_status 0 "$status" "$said" && expect "$said" '9[89][.][0-9]+ '
}

# trainer submit names the folder of its run, which it fetches from the container's own file system.
trains_where_submit_says() {
  status=0
  said=$(docker run --rm --network none "$image" train --epochs 1 --limit-train 2000 --out=/runs/first 2>&1) || status=$?
  expect_status 0 "$status" "$said" && expect "$said" '^results +/runs/first'
}

# A new named volume may be written by the image's user, and by any other that --user names.
trains_into_a_volume() {
  local user
  for user in 1000:1000 4321:4321; do
    contained --volume /work --user "$user" "$image" train --epochs 1 --limit-train 2000
    expect_status 0 "$status" "$said" && expect "$said" '^results +/work/runs/' || return
  done
}

# docker stop is a SIGTERM to process 1: the run ends in order, its record says so, and the exit status is 143.
stops_in_order() {
  local folder=$work/stopped id
  install --directory --mode=1777 "$folder"
  id=$(docker run --detach --network none --read-only --volume "$folder:/work" "$image" train --epochs 1000) || return
  wait_for 120 eval "[[ \$(cat '$folder'/runs/*/metrics.jsonl | wc -l) -ge 1 ]]" || { docker logs "$id" && return 1; }
  docker stop --time 60 "$id" >/dev/null
  status=$(docker inspect --format '{{.State.ExitCode}}' "$id")
  said=$(docker logs "$id" 2>&1)
  docker rm "$id" >/dev/null
  expect_status 143 "$status" "$said" && expect "$(cat "$folder"/runs/*/run.json)" '"status": "stopped"'
}

# On a terminal the progress line is updated in place, as outside a container.
knows_a_terminal() {
  contained --tty "$image" train --epochs 1 --no-save
  expect_status 0 "$status" "$said" && expect "$said" $'\r.*step [0-9]+ of 235' || return
  contained "$image" train --epochs 1 --limit-train 2000 --no-save
  refuse "$said" $'\r|\e'
}

# Without NVIDIA's Container Toolkit the engine itself refuses --gpus, in words that README.md explains.
names_the_missing_toolkit() {
  contained --gpus all "$image" devices
  [[ $status != 0 ]] && expect "$said" 'could not select device driver "" with capabilities: \[\[gpu\]\]'
}

# Without a GPU, the CUDA program trains on the CPU and says how to give it a GPU.
says_how_to_give_it_a_gpu() {
  contained "$image" train --epochs 1 --limit-train 2000 --no-save
  expect_status 0 "$status" "$said" && expect "$said" "no GPU was given to this container.*docker run --gpus all"
}

# Every library finds its dependencies; the loader loads cuBLASLt and cuDNN's parts, which are otherwise loaded by name, and
# resolves every symbol.
has_all_libraries() {
  local parts
  refuse "$(shell 'ldd /opt/mnist-trainer/bin/trainer /opt/mnist-trainer/lib/*.so*')" 'not found' || return
  # shellcheck disable=SC2154  # libraries.sh
  parts=$(printf '%s.so.9:' libcudnn "${cudnn_parts[@]}")$(shell 'printf %s: /opt/mnist-trainer/lib/libcublasLt.so.*')
  contained --env LD_BIND_NOW=1 --env "LD_PRELOAD=$parts" "$image" --version
  expect_status 0 "$status" "$said" && expect "$said" '^trainer ' && refuse "$said" 'cannot be preloaded|undefined symbol'
}

# In the image, cuDNN plans every convolution of every network without a device, which shows that its parts find each other
# with the image's libraries. The test program is this machine's build, with the toolkit's stub for the driver.
plans_every_network() {
  local plans=$root/build/cuda/tests/cudnn_plans_test toolkit=$1 folder=$work/plans
  install --directory "$folder"
  cp -L "$toolkit/lib64/stubs/libcuda.so" "$folder/libcuda.so.1"
  contained --volume "$plans:$plans:ro" --volume "$root/models:$root/models:ro" --volume "$folder:/driver:ro" \
    --env LD_LIBRARY_PATH=/driver --entrypoint "$plans" "$image" --plan 90
  expect_status 0 "$status" "$said" && refuse "$said" '^none' || return
  echo "    $(grep -c '^plan ' <<<"$said") plans"
  (($(grep -c '^plan ' <<<"$said") > 300))
}

# docs/clusters.md names the image to use.
says_that_it_has_no_mpi() {
  refuse "$(shell 'find / -xdev -name "libmpi*" -o -xdev -name "libmnist-trainer-*"')" . || return
  contained "$image" train --ranks 2 --no-save
  expect_status 2 "$status" "$said" && expect "$said" 'build_image.sh --ranks'
}

# mpirun runs in the container, as any user; the ranks exchange gradients through shared memory.
trains_on_ranks() {
  local count digest='' words=(train --device cpu --bits portable --epochs 1 --limit-train 2000 --threads 1 --no-save)
  for count in 1 2 4; do
    [[ $count == 1 ]] || words+=(--ranks "$count")
    contained --tmpfs /tmp --shm-size 1g --user 1234:1234 "$image" "${words[@]}"
    expect_status 0 "$status" "$said" || return
    [[ $count == 1 ]] || expect "$said" "^ranks +$count on 1 machine" || return
    digest=${digest:-$(sed -n 's/^digest *//p' <<<"$said")}
    [[ ${#digest} == 64 ]] && expect "$said" "^digest +$digest$" || return
  done
}
