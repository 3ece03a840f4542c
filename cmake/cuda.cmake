# Sets TRAINER_GPU_ENGINE, what TRAINER_CUDA means on this machine: ON, OFF or EMULATED. ON also enables the CUDA language
# and sets the architectures and the libraries.
set(TRAINER_GPU_ENGINE ${TRAINER_CUDA})
set(trainer_gpu_text "none (kernels/no_cuda, a stand-in that says how to get one)")

if(TRAINER_CUDA MATCHES "^(AUTO|ON)$")
  # CMake 3.25.1 (Debian 12) calls this library deprecated without checking that the toolkit has it; CUDA 13 does not.
  if(CMAKE_VERSION VERSION_LESS 3.26 AND NOT TARGET CUDA::nvToolsExt)
    add_library(CUDA::nvToolsExt INTERFACE IMPORTED)
  endif()
  find_package(CUDAToolkit 12.4 QUIET)
  find_package(CUDNN 9 QUIET)
  if(CUDAToolkit_FOUND AND CUDAToolkit_NVCC_EXECUTABLE AND TARGET CUDA::cublasLt AND CUDNN_FOUND)
    set(TRAINER_GPU_ENGINE ON)
  elseif(TRAINER_CUDA STREQUAL ON)
    message(FATAL_ERROR "TRAINER_CUDA=ON needs nvcc 12.4 or newer with cuBLAS, and cuDNN 9 (headers and library). Found: toolkit "
                        "'${CUDAToolkit_VERSION}', nvcc '${CUDAToolkit_NVCC_EXECUTABLE}', cuDNN '${CUDNN_VERSION}'.\n"
                        "Two ways on: NVIDIA's packages (cuda-toolkit and cudnn9-cuda from developer.nvidia.com's repository), or "
                        "the Docker image; TRAINER_CUDA=OFF builds the CPU program.")
  else()
    set(TRAINER_GPU_ENGINE OFF)
  endif()
endif()

# trainer_list_architectures(out): what this nvcc can generate from 75 on, one per family, and PTX of 90 and of the newest.
# PTX of 90 serves devices between the families, such as compute capability 11.0.
function(trainer_list_architectures out)
  execute_process(COMMAND ${CUDAToolkit_NVCC_EXECUTABLE} --list-gpu-arch OUTPUT_VARIABLE offered)
  set(chosen "")
  foreach(architecture 75 80 86 89 90 100 120)
    if(offered MATCHES "compute_${architecture}([^0-9]|$)")
      list(APPEND chosen ${architecture}-real)
      if(architecture EQUAL 90)
        list(APPEND chosen 90-virtual)
      endif()
      set(newest ${architecture})
    endif()
  endforeach()
  list(APPEND chosen ${newest}-virtual)
  list(REMOVE_DUPLICATES chosen)
  set(${out} ${chosen} PARENT_SCOPE)
endfunction()

if(TRAINER_GPU_ENGINE STREQUAL ON)
  set(CMAKE_CUDA_COMPILER ${CUDAToolkit_NVCC_EXECUTABLE})
  if(NOT CMAKE_CUDA_ARCHITECTURES)
    trainer_list_architectures(CMAKE_CUDA_ARCHITECTURES)
  endif()
  enable_language(CUDA)
  # The folder in which the built programs find cuBLASLt, which they load when they need it.
  get_target_property(trainer_cublas CUDA::cublasLt IMPORTED_LOCATION)
  get_filename_component(trainer_cublas ${trainer_cublas} DIRECTORY)
  list(APPEND CMAKE_BUILD_RPATH ${trainer_cublas})
  # CMake 3.25 does not know nvcc 13's flag for this.
  set(CMAKE_CUDA20_STANDARD_COMPILE_OPTION -std=c++20)
  set(CMAKE_CUDA20_EXTENSION_COMPILE_OPTION -std=c++20)
  string(REGEX REPLACE "-real|-virtual" "" trainer_architecture_text "${CMAKE_CUDA_ARCHITECTURES}")
  list(REMOVE_DUPLICATES trainer_architecture_text)
  string(JOIN " " trainer_architecture_text ${trainer_architecture_text})
  set(trainer_gpu_text "CUDA ${CUDAToolkit_VERSION}, cuDNN ${CUDNN_VERSION}, machine code and PTX for: ${trainer_architecture_text}")
elseif(TRAINER_GPU_ENGINE STREQUAL EMULATED)
  set(trainer_gpu_text "EMULATED on the CPU, for tests (tests/emulator)")
endif()
