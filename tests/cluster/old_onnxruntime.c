/* A library with the outside of ONNX Runtime 1.10: it says its version, and has none of the later interfaces. */

#include <stddef.h>
#include <stdint.h>

struct OrtApiBase {
    const void *(*GetApi)(uint32_t version);
    const char *(*GetVersionString)(void);
};

static const void *no_api(uint32_t version)
{
    (void) version;
    return NULL;
}

static const char *version_string(void)
{
    return "1.10.0";
}

const struct OrtApiBase *OrtGetApiBase(void)
{
    static const struct OrtApiBase base = {no_api, version_string};
    return &base;
}
