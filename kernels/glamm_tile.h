/* Tiles: a block of n rows times m nodes is worked off in pieces that fit the first-level cache.
 *
 * A tile is either some whole rows or some nodes of one row, in both cases a contiguous range of flat
 * positions i * m + r, so that every loop over a tile is one plain loop for short and long rows alike.
 * Quantities of a row (the response, channels that are the same at every node, what is computed from
 * them) are worked out once a row and then spread over its nodes.
 */
#ifndef GLAMM_TILE_H
#define GLAMM_TILE_H

#include "glamm_block.h"
#include "glamm_math.h"

#define GLAMM_TILE 256
#define GLAMM_BUFFER (GLAMM_TILE + 4)       /* `glamm_spread` writes up to three numbers past the end */

typedef enum {
    GLAMM_IDENTITY, GLAMM_LOG_LINK, GLAMM_LOGIT, GLAMM_PROBIT, GLAMM_CLOGLOG, GLAMM_LOGLOG,
    GLAMM_RECIPROCAL, GLAMM_INVERSE_SQUARE, GLAMM_SQRT, GLAMM_POWER, GLAMM_N_LINKS
} glamm_link;

/* What a capsule's context points to. */
typedef struct {
    int link;               /* glamm_link */
    int asymptotes;         /* binomial: 0 none, 1 lower, 2 both, 3 upper */
    double power;           /* of the power link, nu = mu^power */
} glamm_options;

typedef struct {
    ptrdiff_t row, rows;    /* first row and number of rows */
    ptrdiff_t node, m;      /* first node and number of nodes of each row */
    ptrdiff_t start, length; /* flat positions */
} glamm_tile;

GLAMM_INLINE void glamm_size(glamm_tile *t, ptrdiff_t n, ptrdiff_t m) {
    if (m <= GLAMM_TILE) {
        const ptrdiff_t fit = GLAMM_TILE / m, left = n - t->row;
        t->rows = left < fit ? left : fit;
        t->m = m;
    } else {
        const ptrdiff_t left = m - t->node;
        t->rows = 1;
        t->m = left < GLAMM_TILE ? left : GLAMM_TILE;
    }
    t->start = t->row * m + t->node;
    t->length = t->rows * t->m;
}

GLAMM_INLINE glamm_tile glamm_first(ptrdiff_t n, ptrdiff_t m) {
    glamm_tile t = {0, 0, 0, 0, 0, 0};
    if (n > 0 && m > 0)
        glamm_size(&t, n, m);
    return t;
}

/* Move to the next tile; `length` is 0 behind the last one. */
GLAMM_INLINE void glamm_next(glamm_tile *t, ptrdiff_t n, ptrdiff_t m) {
    t->node += t->m;
    if (t->node >= m) {
        t->node = 0;
        t->row += t->rows;
    }
    t->length = 0;
    if (t->row < n)
        glamm_size(t, n, m);
}

#define GLAMM_EACH_TILE(t, n, m) \
    for (glamm_tile t = glamm_first(n, m); t.length > 0; glamm_next(&t, n, m))

/* The values of the rows, one for each position of the tile; `rows` itself if there is one node. */
GLAMM_INLINE const double *glamm_spread(const glamm_tile *t, const double *rows, double *buffer) {
    if (t->m == 1)
        return rows;
    for (ptrdiff_t i = 0; i < t->rows; i++) {
        double *out = buffer + i * t->m;
        const double v = rows[i];
        for (ptrdiff_t r = 0; r < t->m; r += 4) {
            out[r] = v;
            out[r + 1] = v;
            out[r + 2] = v;
            out[r + 3] = v;
        }
    }
    return buffer;
}

/* Column `c` of the response, one value a row. */
GLAMM_INLINE const double *glamm_column(const glamm_tile *t, const double *y, ptrdiff_t ny, ptrdiff_t c,
                                        double *buffer) {
    y += t->row * ny + c;
    if (ny == 1)
        return y;
    for (ptrdiff_t i = 0; i < t->rows; i++)
        buffer[i] = y[i * ny];
    return buffer;
}

/* A channel, one value for each position of the tile. */
GLAMM_INLINE const double *glamm_channel(const glamm_tile *t, const double *nu, ptrdiff_t stride,
                                         double *buffer) {
    return stride ? nu + t->start : glamm_spread(t, nu + t->row, buffer);
}

/* Whether a channel's functions are worked out once a row. */
GLAMM_INLINE int glamm_by_row(const glamm_tile *t, ptrdiff_t stride) { return !stride && t->m > 1; }

GLAMM_INLINE int glamm_order(double *const *d1, double *const *d2, double *const *d3) {
    return d3 ? 3 : d2 ? 2 : d1 ? 1 : 0;
}

/* Outputs of a tile as one list: ll, d1, d2, d3. `K` <= GLAMM_MAX_CHANNELS. */
#define GLAMM_MAX_CHANNELS 4
#define GLAMM_MAX_OUTPUTS (1 + 4 + 10 + 40)
#define GLAMM_PAIRS(K) ((K) * ((K) + 1) / 2)

GLAMM_INLINE void glamm_outputs(const glamm_tile *t, int K, int order, double *ll, double *const *d1,
                                double *const *d2, double *const *d3, double **out) {
    const int pairs = GLAMM_PAIRS(K);
    *out++ = ll + t->start;
    for (int k = 0; order > 0 && k < K; k++)
        *out++ = d1[k] + t->start;
    for (int k = 0; order > 1 && k < pairs; k++)
        *out++ = d2[k] + t->start;
    for (int k = 0; order > 2 && k < pairs * K; k++)
        *out++ = d3[k] + t->start;
}

/* Call `body(order, ...)` with the order a constant, so that each order is compiled for itself. */
#define GLAMM_BY_ORDER(order, body, ...) \
    switch (order) { \
    case 0: body(0, __VA_ARGS__); break; \
    case 1: body(1, __VA_ARGS__); break; \
    case 2: body(2, __VA_ARGS__); break; \
    default: body(3, __VA_ARGS__); \
    }

/* Arguments of a block function, for definitions and for handing them on. */
#define GLAMM_PARAMETERS \
    ptrdiff_t n, ptrdiff_t m, const double *y, ptrdiff_t ny, const double *const *nu, \
        const ptrdiff_t *node_stride, double *ll, double *const *d1, double *const *d2, \
        double *const *d3, void *user
#define GLAMM_ARGUMENTS n, m, y, ny, nu, node_stride, ll, d1, d2, d3, user

/* log(k!) for k < GLAMM_TABLE, filled at import. */
#define GLAMM_TABLE 256
static double glamm_log_factorial[GLAMM_TABLE];

static void glamm_fill_tables(void) {
    for (int k = 0; k < GLAMM_TABLE; k++)
        glamm_log_factorial[k] = lgamma(k + 1.0);
}

#endif
