#ifndef SPX_BASE_CPU_H
#define SPX_BASE_CPU_H

/** Instruction sets the engine has code for, in rising order; each includes the ones before. */
typedef enum spx_isa {
    SPX_ISA_PORTABLE, /* plain C */
    SPX_ISA_AVX2,     /* AVX2 and FMA: 16 registers of 8 floats */
    SPX_ISA_AVX512VL, /* AVX-512F/VL/DQ/BW: 32 registers */
    SPX_ISA_COUNT
} spx_isa;

/** Best set this processor and build offer; SPHYNX_ISA=portable|avx2|avx512vl lowers it. */
spx_isa spx_cpu_isa(void);

/** "portable", "avx2", "avx512vl". */
const char *spx_isa_name(spx_isa isa);

#endif
