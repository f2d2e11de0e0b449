/* The compiled block functions, once for each instruction set, and the table that finds them. */
#ifndef GLAMM_FAMILIES_H
#define GLAMM_FAMILIES_H

#include "glamm_math.h"

/* Threading jumps through the clamps of exp would split its callers into cases, each computed in full. */
#if defined(__GNUC__) && !defined(__clang__)
#pragma GCC push_options
#pragma GCC optimize("no-thread-jumps")
#endif

#include "glamm_binary.h"
#include "glamm_choices.h"
#include "glamm_general.h"
#include "glamm_latents.h"
#include "glamm_means.h"
#include "glamm_ordinal.h"
#include "glamm_ranking.h"

#if defined(__GNUC__) && !defined(__clang__)
#define GLAMM_OUTLINE __attribute__((noinline, noclone))
#else
#define GLAMM_OUTLINE
#endif

#define GLAMM_ISA(name) glamm_##name##_plain
#define GLAMM_TARGET
#include "glamm_instances.h"
#undef GLAMM_ISA
#undef GLAMM_TARGET

#if defined(__x86_64__) && defined(__GNUC__)
#define GLAMM_HAS_AVX2 1
#define GLAMM_ISA(name) glamm_##name##_avx2
#define GLAMM_TARGET __attribute__((target("avx2,fma")))
#include "glamm_instances.h"
#undef GLAMM_ISA
#undef GLAMM_TARGET
#endif

#if defined(__GNUC__) && !defined(__clang__)
#pragma GCC pop_options
#endif

/* Whether the instruction set `isa` (0 plain, 1 AVX2 with FMA) is compiled and runs here. */
static int glamm_runs(int isa) {
    if (isa == 0)
        return 1;
#if defined(GLAMM_HAS_AVX2)
    __builtin_cpu_init();
    return isa == 1 && __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");
#else
    return 0;
#endif
}

/* The block function of a family and a link, or NULL. */
static glamm_block_v1 glamm_find(const char *family, int link, int asymptotes, int isa) {
#if defined(GLAMM_HAS_AVX2)
    if (isa == 1)
        return glamm_find_avx2(family, link, asymptotes);
#endif
    (void)isa;
    return glamm_find_plain(family, link, asymptotes);
}

#endif
