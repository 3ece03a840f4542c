// The one list of the CPU engine's loops: a row here and a definition in kernels/cpu/loops/ are all that a loop
// needs. It is included several times: LOOP and BF16_LOOP make a row into a pointer of the table, a declaration
// or the table's entry, and a list whose macro is not defined is left out.
#ifndef LOOP
#define LOOP(name, ...)
#endif
#ifndef BF16_LOOP
#define BF16_LOOP(name, ...)
#endif

LOOP(gather, const GatherLoop& loop, std::size_t begin, std::size_t end)  // rows of the batch

LOOP(maxpool, const PoolLoop& loop, const float* map, float* y, std::uint8_t* winner, std::size_t images)
LOOP(maxpool_backward, const PoolLoop& loop, const float* dy, const std::uint8_t* winner, float* dmap,
     std::size_t images)
LOOP(avgpool, const PoolLoop& loop, const float* map, float* y, std::size_t images)
LOOP(avgpool_backward, const PoolLoop& loop, const float* dy, float* dmap, std::size_t images)

// padded [h + k - 1, w + k - 1], w [k, k, channels], b [channels], map [h, w, channels]
LOOP(one_channel, const OneChannelLoop& loop, const float* padded, const float* w, const float* b, float* map)
// dw [k, k, channels] += padded * dmap, db [channels] += dmap
LOOP(one_channel_weights, const OneChannelLoop& loop, const float* padded, const float* dmap, float* dw,
     float* db)

// The same with the pool: y and argmax [pooled]; argmax is null in inference.
LOOP(one_channel_pool, const OneChannelLoop& loop, const float* padded, const float* w, const float* b,
     float* y, std::uint8_t* winner)
// dw [k, k, channels] and db [channels] +=, from dy [pooled]
LOOP(one_channel_pool_weights, const OneChannelLoop& loop, const float* padded, const float* dy,
     const std::uint8_t* winner, float* dw, float* db)

// image [.., width, in], w [3, 3, in, channels], b [channels]; y and argmax [pooled]; argmax is null in
// inference
LOOP(few_channels_pool, const FewChannelsLoop& loop, const float* image, const float* w, const float* b,
     float* y, std::uint8_t* winner)

// dw [out, k, k, channels] += , db [out] += of one image [h, w, channels]
LOOP(winner_weights, const WinnerLoop& loop, WinnerLists& lists, const float* image, const float* dy,
     const std::uint8_t* winner, float* dw, float* db)
// dx [h, w, channels] += of one image, w [out, k, k, channels]
LOOP(winner_data, const WinnerLoop& loop, WinnerLists& lists, const float* w, const float* dy,
     const std::uint8_t* winner, float* dx)

// Element-wise, over elements begin .. end - 1.
LOOP(relu, const float* x, float* y, std::size_t begin, std::size_t end)
LOOP(relu_backward, const float* y, const float* dy, float* dx, std::size_t begin, std::size_t end)
LOOP(gelu, const float* x, float* y, std::size_t begin, std::size_t end)
LOOP(gelu_backward, const float* x, const float* dy, float* dx, std::size_t begin, std::size_t end)
LOOP(leaky_relu, float slope, const float* x, float* y, std::size_t begin, std::size_t end)
LOOP(leaky_relu_backward, float slope, const float* x, const float* dy, float* dx, std::size_t begin,
     std::size_t end)
LOOP(add, const float* x, float* sum, std::size_t begin, std::size_t end)  // sum += x
LOOP(dropout, const DropoutLoop& loop, const float* x, float* y, std::uint8_t* kept, std::size_t begin,
     std::size_t end)  // begin is a multiple of 4
LOOP(dropout_backward, float drop, const std::uint8_t* kept, const float* dy, float* dx, std::size_t begin,
     std::size_t end)
// Over `count` elements of whole rows. sums [2, channels] are added to: of x - mean and its square; of the
// gradient g behind GELU and of g (x - mean) scale. norm_gradient writes g to dx unless it is null.
LOOP(norm_sums, const NormLoop& loop, const float* x, std::size_t count, double* sums)
LOOP(norm, const NormLoop& loop, const float* x, float* y, std::size_t count)
LOOP(norm_gradient, const NormLoop& loop, const float* x, const float* dy, float* dx, const NormParts& parts,
     double* sums)
// dx = gamma scale (dx - mean_g - mean_gx (x - mean) scale), tables [tile]
LOOP(norm_backward, const NormLoop& loop, const float* mean_g, const float* mean_gx, const float* x,
     float* dx, const NormParts& parts)
LOOP(product, const ProductLoop& loop, int begin, int end)  // rows
LOOP(gram, const GramLoop& loop, int begin, int end)        // blocks
LOOP(muon_direction, float momentum, const float* dw, float* v, float* u, std::size_t count)
LOOP(update, const UpdateLoop& loop, std::size_t begin, std::size_t end)

BF16_LOOP(to_bf16, const float* from, std::uint16_t* to, std::size_t count)  // to the nearest, ties to even
BF16_LOOP(to_fp32, const std::uint16_t* from, float* to, std::size_t count)
// dx, where y is above 0, else 0
BF16_LOOP(relu_backward, const std::uint16_t* y, const float* dx, std::uint16_t* to, std::size_t count)

// Each of `count` rows beside the one below it, value by value, the last one beside zeros.
BF16_LOOP(one_channel_pairs, const float* rows, int count, int width, std::uint16_t* pairs)
// As those of Loops, but the rows of image and w (channels by columns) come as pairs. dy is rounded, sums
// are fp32.
BF16_LOOP(one_channel_pool, const OneChannelLoop& loop, const std::uint16_t* image, const std::uint16_t* w,
          const float* b, float* y, std::uint8_t* winner)
BF16_LOOP(one_channel_pool_weights, const OneChannelLoop& loop, const std::uint16_t* image, const float* dy,
          const std::uint8_t* winner, float* dw, float* db)

// `channels` floats of each pixel to as many as fill vectors of `lanes`; the filters in the order that
// winner_data wants.
BF16_LOOP(winner_image, const float* from, std::uint16_t* to, int channels, std::size_t pixels)
BF16_LOOP(winner_filters, const float* from, std::uint16_t* to, int channels, std::size_t pixels)
// And back, from the order in which winner_weights leaves its sums.
BF16_LOOP(winner_gradients, const float* from, float* to, int channels, std::size_t pixels)
// As those of Loops, but for the order of dw; gradients are rounded on the way, sums are fp32.
BF16_LOOP(winner_weights, const WinnerLoop& loop, WinnerLists& lists, const std::uint16_t* image,
          const float* dy, const std::uint8_t* winner, float* dw, float* db)
BF16_LOOP(winner_data, const WinnerLoop& loop, WinnerLists& lists, const std::uint16_t* w, const float* dy,
          const std::uint8_t* winner, float* dx)

#undef LOOP
#undef BF16_LOOP
