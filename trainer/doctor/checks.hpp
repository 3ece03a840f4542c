// The checks of trainer doctor: each a pure function of the facts.
#pragma once

#include "trainer/console/check.hpp"
#include "trainer/doctor/facts.hpp"

namespace trainer::doctor {

// Whether the machine shows a GPU, whatever may be wrong with it. One that shows none is healthy without.
bool shows_gpu(const GpuFacts& gpu);
// Whether training would run on the GPU.
bool trains_on_gpu(const Facts& facts);

// Appended to `checks` in the order in which a GPU comes to life: nothing where the machine shows none.
void check_driver(const Facts& facts, std::vector<Check>* checks);
void check_device_files(const Facts& facts, std::vector<Check>* checks);
void check_visibility(const Facts& facts, std::vector<Check>* checks);
void check_gpu(const Facts& facts, std::vector<Check>* checks);  // says that there is none, too
void check_gpu_state(const Facts& facts, std::vector<Check>* checks);
void check_nvml(const Facts& facts, std::vector<Check>* checks);
void check_cudnn(const Facts& facts, std::vector<Check>* checks);
void check_cublas(const Facts& facts, std::vector<Check>* checks);

Check check_program(const Facts& facts);
Check check_container(const Facts& facts);
Check check_cpu(const Facts& facts);
Check check_memory(const Facts& facts);
Check check_data(const FilesFacts& files);
Check check_runs(const FilesFacts& files);
Check check_speed(const SpeedFacts& speed);

std::vector<Check> check_all(const Facts& facts);

// One line: what runs where, or how many problems there are.
std::string verdict(const Facts& facts, const std::vector<Check>& checks);

}  // namespace trainer::doctor
