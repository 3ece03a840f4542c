# shellcheck shell=bash disable=SC2034
# Cases that take minutes under the sanitizers although shorter ones reach the same lines: scripts/coverage.sh leaves them out,
# the long check's part sanitizer-slow runs them. Muon's other shapes and cntk_convnet_conv2_sliced are not listed. To be sourced.
long_cases=('*/cuda*_quick_*' '*/cuda*_lenet_*' '*/cuda*_tf_*' '*/cuda*_cntk_*' '*/cuda*_pytorch_*' '*/cuda*_sprint_*'
  '*FirstLayers*/cuda_?f*' '*FirstLayers*/cuda_fp*' '*ShuffledLabels*' 'SprintParity.EveryStep*' '*TrainsAsWellInEveryPrecision'
  '*Muon.*/cpu*_sprint_dense' '*/cpu*_pytorch_conv2_sliced'
  '*RanksOfNetworks*' '*GpuRanks.PortableBits*' '*GpuRanks.Replicas*' '*Ranks.ReplicasStayEqual' '*Ranks.FastEngineDiffers*' '*Messages*' '*MeetsItsDigest/tf_*' '*MeetsItsDigest/cntk_*' '*MeetsItsDigest/pytorch_*')
