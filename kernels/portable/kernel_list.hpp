// The kernels of the portable engine, for whatever has to name them all: include it with KERNEL(Name) defined.
// clang-format off
KERNEL(SumPositions) KERNEL(SumImages) KERNEL(Product) KERNEL(DenseWeights) KERNEL(Transpose)
KERNEL(Move) KERNEL(ConvForward) KERNEL(ConvWeights) KERNEL(ConvInput)
KERNEL(NormVariance) KERNEL(Normalise) KERNEL(NormSlopes) KERNEL(NormInput)
KERNEL(Pointwise) KERNEL(Pool) KERNEL(PoolInput) KERNEL(HeadLoss) KERNEL(HeadSums) KERNEL(HeadSelect)
KERNEL(Gather) KERNEL(GatherAugmented) KERNEL(OpenUpdate) KERNEL(Update) KERNEL(CloseStep) KERNEL(Average) KERNEL(MuonDirection) KERNEL(MuonNormalise)
KERNEL(GradientSquares)
// clang-format on
#undef KERNEL
