#include "host/control/build_info.h"

#include "spx_build_info_generated.h"

const char *spx_build_version(void)
{
    return SPX_BUILD_VERSION;
}

const char *spx_build_commit(void)
{
    return SPX_BUILD_COMMIT;
}

const char *spx_build_compiler(void)
{
    return SPX_BUILD_COMPILER;
}

const char *spx_build_type(void)
{
    return SPX_BUILD_TYPE;
}
