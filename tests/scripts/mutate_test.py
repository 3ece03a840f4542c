"""The mutator: what it changes and leaves alone in a source, and scripts/mutate.sh over a toy of a repository, whose tests have a planted
weak spot, miss an equal mutation and hang at another one."""
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
import unittest

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
sys.path.insert(0, os.path.join(ROOT, "scripts", "mutate"))
import mutations  # noqa: E402
import rooms  # noqa: E402

PLANTED = r'''// a < b; return 1;
#include <a> // 1 + 1
#define TWICE(x) ((x) * 2)
static_assert(sizeof(int) == 4, "a + b");
namespace a {
constexpr int kLimit = 5;
struct Point {
  int x = 3;
  int at(int y) const { return x + y; }
};
template <typename T, int kSize>
int work(const std::vector<int>& values, int* out) {
  __shared__ float memory[64];
  std::array<int, 4> none;
  /* 7 < 8 */
  const char* text = "1 < 2 \" + 3";
  const char c = '+';
  if (const int error = flush_to_device(file.number()); error != 0) return error;
  for (int i = 0; i < kSize; ++i) *out += values[i];
  __syncthreads();
  if (values.size() > 3) out->go(text, [&] { call(c); });
  __threadfence();
  return static_cast<int>(R"(9 + 9)"[0]);
}
}  // namespace a
'''

TOY = '''// Limits a value.
const char* name() { return "1 < 2"; }
int limited(int value, int most) {
  int steps = 0;
  while (steps < 3) steps += 1;
  if (value > most) value = most;
  return value;
}
'''
TOY_TEST = '''int limited(int value, int most);
int main() { return limited(1, 5) == 1 && limited(7, 5) == 5 ? 0 : 1; }
'''
NINJA = '''rule cc
  command = c++ -w -O0 -o $out $in
build tests/data_test: cc ../../data/toy.cpp ../../tests/data/toy_test.cpp
build trainer: phony tests/data_test
build data_test: phony tests/data_test
'''
EQUAL = '''# As in the product.
data/toy.cpp
- if (value > most) value = most;
+ if (value >= most) value = most;
  A value that equals the limit becomes the limit.
'''


class Sources(unittest.TestCase):
    def setUp(self):
        self.all = mutations.mutations_of("kernels/cuda/planted.cu", PLANTED)
        self.pairs = {(m.before, m.after) for m in self.all}

    def test_everything_but_code_in_bodies_is_left_alone(self):
        allowed = [8, 17, 18, 19, 20]  # counted from 0, as the text is
        lines = PLANTED.splitlines()
        self.assertEqual({m.line - 1 for m in self.all} - set(allowed) - {22}, set(), [m for m in self.all if m.line - 1 not in allowed])
        for m in self.all:
            changed = m.applied_to(PLANTED).splitlines()
            self.assertEqual([i for i, (a, b) in enumerate(zip(lines, changed)) if a != b], [m.line - 1])
        self.assertFalse([m for m in self.all if m.line == 23 and "9 + 9" not in m.after], "a raw string")

    def test_each_kind_is_there(self):
        self.assertEqual({m.kind for m in self.all}, {"comparison", "arithmetic", "constant", "condition", "statement", "barrier", "flush"})
        loop = "for (int i = 0; i < kSize; ++i) *out += values[i];"
        for before, after in [
                ("int at(int y) const { return x + y; }", "int at(int y) const { return x - y; }"), ("__syncthreads();", ";"),
                (loop, loop.replace("<", "<=")), (loop, loop.replace("<", ">=")), (loop, loop.replace("= 0", "= 1")),
                (loop, loop.replace(" *out += values[i];", " ;")), (loop, loop.replace("+=", "-=")),
                (PLANTED.splitlines()[20].strip(), "if (!(values.size() > 3)) out->go(text, [&] { call(c); });"),
                (PLANTED.splitlines()[20].strip(), "if (values.size() > 3) out->go(text, [&] { ; });"),
                (PLANTED.splitlines()[17].strip(), "if (const int error = 0; error != 0) return error;")]:
            self.assertIn((before, after), self.pairs)

    def test_a_change_has_one_name_and_others_have_others(self):
        self.assertEqual(len({m.name for m in self.all}), len(self.all))
        self.assertEqual([m.name for m in self.all], [m.name for m in mutations.mutations_of("kernels/cuda/planted.cu", PLANTED)])

    def test_every_room_of_the_product_has_programs(self):
        for path in ("kernels/math/order.hpp", "kernels/cuda/ops/head.cu", "kernels/cpu/loops/pool.cpp", "trainer/train/loop.cpp",
                     "trainer/store/run_record.cpp", "data/idx.cpp", "trainer/remote/transfer.cpp", "models/plan.cpp"):
            self.assertTrue(rooms.programs_of(path, ROOT), path)
        self.assertEqual(rooms.programs_of("trainer/store/run_record.cpp", ROOT), ["store_test"])
        self.assertEqual(rooms.room_of("kernels/cuda/ops/head.cu"), "kernels/cuda")
        self.assertEqual(rooms.room_of("data/idx.cpp"), "data")

    def test_equal_mutations_are_of_lines_that_are_there(self):
        import mutate
        for (path, before, after), why in mutate.equal_mutations().items():
            with open(os.path.join(ROOT, path), encoding="utf-8") as file:
                known = {(m.before, m.after) for m in mutations.mutations_of(path, file.read())}
            self.assertIn((before, after), known, f"{path}: no such mutation any more; {why}")


@unittest.skipUnless(all(shutil.which(tool) for tool in ("git", "ninja", "c++", "ctest")), "needs git, ninja, c++ and ctest")
class Toy(unittest.TestCase):
    def setUp(self):
        self.folder = tempfile.mkdtemp()
        self.addCleanup(shutil.rmtree, self.folder)
        shutil.copytree(os.path.join(ROOT, "scripts", "mutate"), self.at("scripts/mutate"), ignore=shutil.ignore_patterns("__pycache__"))
        shutil.copy(os.path.join(ROOT, "scripts", "mutate.sh"), self.at("scripts/mutate.sh"))
        self.write("data/toy.cpp", TOY)
        self.write("tests/data/toy_test.cpp", TOY_TEST)
        self.write("tests/data/CMakeLists.txt", "trainer_add_test(NAME data_test SOURCES toy_test.cpp)\n")
        self.write("CMakeLists.txt", "project(toy VERSION 1.2.3)\n")
        self.write(".gitignore", "/build/\n__pycache__/\n")
        self.write("build.ninja", NINJA)
        self.write("scripts/build.sh", '#!/bin/sh\nmkdir -p build/$1/tests && cp build.ninja build/$1/ && '
                   'echo "add_test(all tests/data_test)" >build/$1/CTestTestfile.cmake\n')
        os.chmod(self.at("scripts/build.sh"), 0o755)
        for words in (["init", "-q"], ["add", "."], ["-c", "user.name=a", "-c", "user.email=a@b", "commit", "-qm", "toy"]):
            subprocess.run(["git", "-C", self.folder, *words], check=True)

    def at(self, name):
        return os.path.join(self.folder, name)

    def write(self, name, text):
        os.makedirs(os.path.dirname(self.at(name)), exist_ok=True)
        with open(self.at(name), "w", encoding="utf-8") as file:
            file.write(text)

    def mutate(self, code, *words):
        environment = {**os.environ, "MUTATE_LEAST_SECONDS": "2"}
        done = subprocess.run([self.at("scripts/mutate.sh"), *words], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, env=environment,
                              cwd=self.folder, timeout=300)
        self.assertEqual(done.returncode, code, done.stdout)
        return done.stdout

    def test_the_weak_spot_lives_and_the_rest_is_found(self):
        self.write("tests/mutants/equal.txt", EQUAL)  # not committed: the copy and the run see it all the same
        output = self.mutate(1, "data/toy.cpp", "--record", "record.json")
        with open(self.at("record.json"), encoding="utf-8") as file:
            record = json.load(file)
        by_change = {m["after"]: m for m in record["mutations"]}
        self.assertEqual(by_change["if (value >= most) value = most;"]["result"], "equal")
        self.assertEqual(by_change["while (steps >= 3) steps += 1;"]["result"], "survived", "nothing reads the steps")
        self.assertEqual(by_change["while (steps < 3) ;"]["by"], "data_test: hung")
        for after in ("if (value <= most) value = most;", "if (!(value > most)) value = most;", "if (value > most) ;"):
            self.assertEqual(by_change[after]["result"], "found", after)
        self.assertFalse([m for m in record["mutations"] if m["line"] <= 3], "neither comments nor strings")
        self.assertEqual(record["rooms"]["data"], record["rooms"]["all"])
        self.assertEqual(len(record["survivors"]) + record["rooms"]["all"]["found"], record["rooms"]["all"]["all"])
        self.assertEqual(record["versions"]["trainer"][:13], "trainer 1.2.3")
        self.assertIn("SURVIVED data/toy.cpp:5 (comparison)", output)
        with open(self.at("build/mutants/tree/data/toy.cpp"), encoding="utf-8") as file:
            self.assertEqual(file.read(), TOY, "the copy is as it was")

    def test_a_run_that_was_cut_goes_on_and_a_seed_chooses_the_same(self):
        self.assertEqual(self.mutate(0, "data", "--count", "3", "--seed", "5", "--list"), self.mutate(0, "data", "--count", "3", "--seed", "5", "--list"))
        self.mutate(0, "data/toy.cpp", "--lines", "6-6", "--room-only", "--minutes", "0.000001")
        folder = os.path.join("build", "mutants", next(name for name in os.listdir(self.at("build/mutants")) if "-seed-" in name))
        state = self.at(os.path.join(folder, "state.jsonl"))
        with open(state, encoding="utf-8") as file:
            first = file.read()
        self.assertEqual(first.count("\n"), 1, "one was begun in its time")
        with open(state, "a", encoding="utf-8") as file:
            file.write('{"name": "cut')
        output = self.mutate(1, "--resume", folder)
        with open(state, encoding="utf-8") as file:
            lines = file.read()
        self.assertTrue(lines.startswith(first))
        self.assertEqual({json.loads(line)["path"] for line in lines.splitlines()}, {"data/toy.cpp"})
        self.assertIn("not tried: 0 of", output)
        self.assertEqual(output.count("SURVIVED"), 1, "the equal one, which no list names here: " + output)

    def test_a_run_that_is_ended_puts_the_copy_right_and_leaves_no_test_behind(self):
        copy = self.at("build/mutants/tree/data/toy.cpp")
        child = subprocess.Popen([self.at("scripts/mutate.sh"), "data/toy.cpp", "--lines", "5-5", "--room-only"], cwd=self.folder,
                                 stdout=subprocess.DEVNULL, env={**os.environ, "MUTATE_LEAST_SECONDS": "100"})
        for _ in range(600):
            time.sleep(0.1)
            if os.path.exists(copy):
                with open(copy, encoding="utf-8") as file:
                    if "while (steps < 3) ;" in file.read():
                        break
        time.sleep(1)
        child.terminate()
        self.assertEqual(child.wait(timeout=60), 143)
        with open(copy, encoding="utf-8") as file:
            self.assertEqual(file.read(), TOY)
        running = subprocess.run(["ps", "-eo", "args"], stdout=subprocess.PIPE, text=True, check=True).stdout
        self.assertNotIn(self.folder, running)

    def test_wrong_usage_names_the_choices(self):
        for words in ([], ["nowhere.cpp"], ["data", "--lines", "5"], ["--resume", "build"], ["data", "--resume", "build"], ["--seed", "x"]):
            self.assertIn("the head of scripts/mutate.sh has the rest", self.mutate(2, *words))


if __name__ == "__main__":
    unittest.main()
