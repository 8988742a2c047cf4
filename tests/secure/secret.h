#ifndef SPX_TEST_SECRET_H
#define SPX_TEST_SECRET_H
/*
 * Marks memory as secret, for valgrind's memcheck or clang's MemorySanitizer: they are told that
 * the bytes are undefined, and complain of every branch and every address computed from them.
 */
#if defined(SPX_UNDER_MSAN)
#include <sanitizer/msan_interface.h>
#define SPX_SECRET(p, n) __msan_allocated_memory((p), (n))
#define SPX_PUBLIC(p, n) __msan_unpoison((p), (n))
#elif defined(SPX_HAVE_VALGRIND)
#include <valgrind/memcheck.h>
#define SPX_SECRET(p, n) ((void)VALGRIND_MAKE_MEM_UNDEFINED((p), (n)))
#define SPX_PUBLIC(p, n) ((void)VALGRIND_MAKE_MEM_DEFINED((p), (n)))
#else
#define SPX_SECRET(p, n) ((void)(p), (void)(n))
#define SPX_PUBLIC(p, n) ((void)(p), (void)(n))
#endif

#endif
