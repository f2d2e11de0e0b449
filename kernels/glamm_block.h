/* The one C signature by which a family meets the engine: glamm.block.v1.
 *
 * A block is n units (rows) times m quadrature nodes. Channel k of unit i at node r is
 *     nu[k][i * m + r]   where node_stride[k] == 1,
 *     nu[k][i]           where node_stride[k] == 0 (the same at every node).
 * The function fills, for unit i at node r, position i * m + r of
 *     ll            the log density,
 *     d1[k]         its derivative in channel k,
 *     d2[p]         second derivatives, pairs p in the order (0,0), (0,1) .. (0,K-1), (1,1) ..,
 *     d3[p * K + k] the derivative of pair p in channel k.
 * d1, d2 and d3 are NULL where not wanted; a higher order implies the lower ones. Return 0, or 1 where
 * d3 was asked for and is not available (the engine then differentiates d2 numerically).
 * A log density that cannot be computed is -INFINITY, never NaN. The function must be thread-safe and
 * must not allocate. It is handed over in a PyCapsule named "glamm.block.v1" whose context is `user`.
 */
#ifndef GLAMM_BLOCK_H
#define GLAMM_BLOCK_H

#include <stddef.h>

#define GLAMM_BLOCK_V1 "glamm.block.v1"

typedef int (*glamm_block_v1)(ptrdiff_t n, ptrdiff_t m, const double *y, ptrdiff_t ny,
                              const double *const *nu, const ptrdiff_t *node_stride, double *ll,
                              double *const *d1, double *const *d2, double *const *d3, void *user);

#endif
