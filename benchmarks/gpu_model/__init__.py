"""A static model of the GPU engine's time on an H200: see benchmarks/gpu_model.py, the program."""
