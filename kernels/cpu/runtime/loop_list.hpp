// The one list of the CPU engine's loops: a row here and a definition in kernels/cpu/loops/ are all that a
// loop needs. The file is included several times: LOOP and BF16_LOOP turn a row into a pointer in the table, a
// declaration or the table's entry; rows whose macro is not defined expand to nothing.
#ifndef LOOP
#define LOOP(name, ...)
#endif
#ifndef BF16_LOOP
#define BF16_LOOP(name, ...)
#endif

// Covers rows of the batch; StepState::valid is the number of valid ones.
LOOP(gather, const GatherArgs& args, std::size_t begin, std::size_t end)

LOOP(maxpool, const PoolLoop& loop, const float* map, float* y, std::uint8_t* argmax, std::size_t images)
LOOP(maxpool_backward, const PoolLoop& loop, const float* dy, const std::uint8_t* argmax, float* dmap,
     std::size_t images)
LOOP(avgpool, const PoolLoop& loop, const float* map, float* y, std::size_t images)
LOOP(avgpool_backward, const PoolLoop& loop, const float* dy, float* dmap, std::size_t images)

// padded [h + k - 1, w + k - 1], w [k, k, channels], b [channels], map [h, w, channels]
LOOP(one_channel, const ConvLoop& loop, const float* padded, const float* w, const float* b, float* map)
// dw [k, k, channels] += padded * dmap, db [channels] += dmap
LOOP(one_channel_weights, const ConvLoop& loop, const float* padded, const float* dmap, float* dw, float* db)

// Convolution and max pooling, for the sizes of has_conv_pool(): padded [h + k - 1, w + k - 1, in],
// w [k, k, in, channels], y and argmax [pooled]; argmax is null in inference.
LOOP(conv_pool, const ConvLoop& loop, const float* padded, const float* w, const float* b, float* y,
     std::uint8_t* argmax)
// Adds, for one input channel, to dw [k, k, channels] and db [channels], from dy [pooled].
LOOP(one_channel_pool_weights, const ConvLoop& loop, const float* padded, const float* dy,
     const std::uint8_t* argmax, float* dw, float* db)

// Adds the gradients of one image [h, w, channels] to dw [out, k, k, channels] and db [out].
LOOP(sparse_conv_weights, const SparseConvLoop& loop, GradientLists& lists, const float* image,
     const float* dy, const std::uint8_t* argmax, float* dw, float* db)
// Adds to dx [h, w, channels] of one image; w [out, k, k, channels].
LOOP(sparse_conv_data, const SparseConvLoop& loop, GradientLists& lists, const float* w, const float* dy,
     const std::uint8_t* argmax, float* dx)

// Element-wise, over elements begin .. end - 1.
LOOP(relu, const float* x, float* y, std::size_t begin, std::size_t end)
LOOP(relu_backward, const float* y, const float* dy, float* dx, std::size_t begin, std::size_t end)
LOOP(gelu, const float* x, float* y, std::size_t begin, std::size_t end)
LOOP(gelu_backward, const float* x, const float* dy, float* dx, std::size_t begin, std::size_t end)
LOOP(leaky_relu, float slope, const float* x, float* y, std::size_t begin, std::size_t end)
LOOP(leaky_relu_backward, float slope, const float* x, const float* dy, float* dx, std::size_t begin,
     std::size_t end)
LOOP(add, const float* x, float* sum, std::size_t begin, std::size_t end)  // sum += x
LOOP(add_skip, const float* x, const float* skip, float* y, std::size_t begin,
     std::size_t end)  // y = x + skip
LOOP(dropout, const DropoutDesc& desc, const StepState& state, const float* x, float* y, std::uint8_t* kept,
     std::size_t begin, std::size_t end)
LOOP(dropout_backward, float drop, const std::uint8_t* kept, const float* dy, float* dx, std::size_t begin,
     std::size_t end)
// Cover `count` elements of whole rows, or parts. norm_sums and norm_gradient add two sums per channel to
// sums [2, channels]: the former those of x - mean and of its square, the latter those of g and of g (x - mean)
// inv_std, where g is the gradient at the input of GELU; it writes g to dx unless dx is null.
LOOP(norm_sums, const NormLoop& loop, const float* x, std::size_t count, double* sums)
LOOP(norm, const NormLoop& loop, const float* x, float* y, const NormParts& parts)
LOOP(norm_gradient, const NormLoop& loop, const float* x, const float* dy, float* dx, const NormParts& parts,
     double* sums)
// dx = gamma inv_std (dx - mean_g - mean_gx (x - mean) inv_std), tables [tile]
LOOP(norm_backward, const NormLoop& loop, const float* mean_g, const float* mean_gx, const float* x,
     float* dx, const NormParts& parts)
LOOP(product, const ProductLoop& loop, int begin, int end)  // rows
LOOP(gram, const GramLoop& loop, int begin, int end)        // blocks
LOOP(muon_direction, float momentum, const float* dw, float* v, float* u, std::size_t count)
LOOP(update, const UpdateArgs& args, const Segment& segment, const Optimizer& optimizer,
     const UpdateStep& step, std::size_t begin, std::size_t end)  // elements of the segment
LOOP(average, const AverageArgs& args, std::size_t begin, std::size_t end)

BF16_LOOP(to_bf16, const float* from, std::uint16_t* to, std::size_t count)  // to the nearest, ties to even
BF16_LOOP(to_fp32, const std::uint16_t* from, float* to, std::size_t count)
// to = dx where y is above 0, else 0
BF16_LOOP(relu_backward, const std::uint16_t* y, const float* dx, std::uint16_t* to, std::size_t count)

// Interleaves each of `count` rows with the row below it, value by value, and the last row with zeros.
BF16_LOOP(one_channel_pairs, const float* rows, int count, int width, std::uint16_t* pairs)
// Like those of Loops, but image and w come from one_channel_pairs(), a row of w being its k x channels values.
// dy is rounded; sums are fp32.
BF16_LOOP(conv_pool, const ConvLoop& loop, const std::uint16_t* image, const std::uint16_t* w, const float* b,
          float* y, std::uint8_t* argmax)
BF16_LOOP(one_channel_pool_weights, const ConvLoop& loop, const std::uint16_t* image, const float* dy,
          const std::uint8_t* argmax, float* dw, float* db)

// Cast the `channels` floats of each pixel and pad them to whole vectors of `lanes`; the filters come in the
// order that sparse_conv_data needs.
BF16_LOOP(sparse_conv_image, const float* from, std::uint16_t* to, int channels, std::size_t pixels)
BF16_LOOP(sparse_conv_filters, const float* from, std::uint16_t* to, int channels, std::size_t pixels)
// The reverse, from the order in which sparse_conv_weights leaves its sums.
BF16_LOOP(sparse_conv_gradients, const float* from, float* to, int channels, std::size_t pixels)
// Like those of Loops except for the order of dw. Gradients are rounded to bf16; sums are fp32.
BF16_LOOP(sparse_conv_weights, const SparseConvLoop& loop, GradientLists& lists, const std::uint16_t* image,
          const float* dy, const std::uint8_t* argmax, float* dw, float* db)
BF16_LOOP(sparse_conv_data, const SparseConvLoop& loop, GradientLists& lists, const std::uint16_t* w,
          const float* dy, const std::uint8_t* argmax, float* dx)

#undef LOOP
#undef BF16_LOOP
