#ifndef SPX_CONTROL_BUILD_INFO_H
#define SPX_CONTROL_BUILD_INFO_H
/* What this program was built from; never NULL. Recorded in run directories and
 * printed by doctor. */

const char *spx_build_version(void); /* "0.1.0" */
/** Commit of the source tree, "-dirty" after it where files differed; "unknown" without git. */
const char *spx_build_commit(void);
const char *spx_build_compiler(void); /* "gcc 12.2.0" */
const char *spx_build_type(void);     /* "Release" */

#endif
