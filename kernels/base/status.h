#ifndef SPX_BASE_STATUS_H
#define SPX_BASE_STATUS_H
/*
 * How every Sphynx function reports failure: a status code returned, and one line of text kept per
 * thread (with the file and line of origin). Library code never prints, exits or aborts.
 */

/* One row per status: name, text. SPX_OK is zero. */
#define SPX_STATUS_TABLE(X)                                                                        \
    X(SPX_OK, "success")                                                                           \
    X(SPX_EINVAL, "invalid argument")                                                              \
    X(SPX_ENOMEM, "out of memory")                                                                 \
    X(SPX_EIO, "input/output error")                                                               \
    X(SPX_EFORMAT, "malformed data")                                                               \
    X(SPX_EUNSUPPORTED, "not supported here")                                                      \
    X(SPX_EDEVICE, "device error")                                                                 \
    X(SPX_ENUMERIC, "numbers diverged")                                                            \
    X(SPX_ENOTFOUND, "not found")                                                                  \
    X(SPX_EINTERRUPTED, "interrupted")

typedef enum spx_status {
#define X(name, text) name,
    SPX_STATUS_TABLE(X)
#undef X
        SPX_STATUS_COUNT
} spx_status;

#if defined(__GNUC__)
#define SPX_MUST_CHECK __attribute__((warn_unused_result))
#define SPX_PRINTF(fmt, args) __attribute__((format(printf, fmt, args)))
#else
#define SPX_MUST_CHECK
#define SPX_PRINTF(fmt, args)
#endif

/** Text of a status ("out of memory"); never NULL. */
const char *spx_status_text(spx_status st);

/** The calling thread's last message, without the origin ("loader: 64 bytes"); never NULL. */
const char *spx_error_message(void);

/** Where that message was made ("loader.c:41"); never NULL. */
const char *spx_error_origin(void);

/**
 * Records the calling thread's message and returns code. Use SPX_FAIL.
 * @param fmt printf format of one line without a trailing newline; longer than 511 bytes is cut
 */
spx_status spx_fail(spx_status code, const char *file, int line, const char *fmt, ...)
    SPX_PRINTF(4, 5);

/** Puts "prefix: " before the thread's message and returns st; for adding a file or op name. */
spx_status spx_fail_context(spx_status st, const char *fmt, ...) SPX_PRINTF(2, 3);

#define SPX_FAIL(code, ...) spx_fail((code), __FILE__, __LINE__, __VA_ARGS__)

/* Evaluates expr into st; jumps to label unless it is SPX_OK. */
#define SPX_TRY(st, expr, label)                                                                   \
    do {                                                                                           \
        (st) = (expr);                                                                             \
        if ((st) != SPX_OK) {                                                                      \
            goto label;                                                                            \
        }                                                                                          \
    } while (0)

/* Evaluates expr; returns its status from the enclosing function unless it is SPX_OK. */
#define SPX_RETURN_IF(expr)                                                                        \
    do {                                                                                           \
        spx_status spx_st_ = (expr);                                                               \
        if (spx_st_ != SPX_OK) {                                                                   \
            return spx_st_;                                                                        \
        }                                                                                          \
    } while (0)

#endif
