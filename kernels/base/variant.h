#ifndef SPX_BASE_VARIANT_H
#define SPX_BASE_VARIANT_H
/*
 * One source, one object per instruction set (see kernels/variants.cmake). A file compiled so
 * exports a constant table of functions named SPX_VARIANT(table); the op's entry takes
 * SPX_PICK_VARIANT(table).
 */
#include "kernels/base/cpu.h"

#define SPX_VARIANT_PASTE2(a, b) a##_##b
#define SPX_VARIANT_PASTE(a, b) SPX_VARIANT_PASTE2(a, b)
#define SPX_VARIANT(table) SPX_VARIANT_PASTE(table, SPX_VARIANT_NAME)

/* Declares the tables of every set; the types are the same. */
#define SPX_DECLARE_VARIANTS(type, table) extern const type table##_portable, table##_avx2

#if defined(SPX_HAVE_AVX2)
#define SPX_PICK_VARIANT(table) (spx_cpu_isa() >= SPX_ISA_AVX2 ? &table##_avx2 : &table##_portable)
#else
#define SPX_PICK_VARIANT(table) (&table##_portable)
#endif

#endif
