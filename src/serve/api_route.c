/* SPDX-License-Identifier: Apache-2.0 */
#include <string.h>

#include "serve/api_request.h"

/* A path stands once for each set of methods that go the same way. */
static const fby_route routes[] = {
    {"/v1/embeddings", "POST", FBY_DIALECT_OPENAI, FBY_ROUTE_API, false, FBY_OP_OPENAI,
     FBY_COUNT_EMBED},
    {"/embed", "POST", FBY_DIALECT_TEI, FBY_ROUTE_API, false, FBY_OP_EMBED, FBY_COUNT_EMBED},
    {"/api/embed", "POST", FBY_DIALECT_OLLAMA, FBY_ROUTE_API, false, FBY_OP_OLLAMA,
     FBY_COUNT_EMBED},
    {"/embeddings", "POST", FBY_DIALECT_OPENAI, FBY_ROUTE_API, false, FBY_OP_SHARED,
     FBY_COUNT_EMBED},
    {"/embedding", "POST", FBY_DIALECT_LLAMA, FBY_ROUTE_API, false, FBY_OP_LLAMA, FBY_COUNT_EMBED},
    {"/v1/models", "GET, HEAD", FBY_DIALECT_OPENAI, FBY_ROUTE_API, false, FBY_OP_MODELS,
     FBY_COUNT_OTHER},
    {"/embed_all", "POST", FBY_DIALECT_TEI, FBY_ROUTE_API, false, FBY_OP_EMBED_ALL,
     FBY_COUNT_EMBED_ALL},
    {"/embed_sparse", "POST", FBY_DIALECT_TEI, FBY_ROUTE_API, false, FBY_OP_EMBED_SPARSE,
     FBY_COUNT_EMBED},
    {"/similarity", "POST", FBY_DIALECT_TEI, FBY_ROUTE_API, false, FBY_OP_SIMILARITY,
     FBY_COUNT_SIMILARITY},
    {"/tokenize", "POST", FBY_DIALECT_TEI, FBY_ROUTE_API, false, FBY_OP_TOKENIZE,
     FBY_COUNT_TOKENIZE},
    {"/decode", "POST", FBY_DIALECT_TEI, FBY_ROUTE_API, false, FBY_OP_DECODE, FBY_COUNT_TOKENIZE},
    {"/rerank", "POST", FBY_DIALECT_TEI, FBY_ROUTE_API, false, FBY_OP_RERANK, FBY_COUNT_EMBED},
    {"/predict", "POST", FBY_DIALECT_TEI, FBY_ROUTE_API, false, FBY_OP_PREDICT, FBY_COUNT_EMBED},
    {"/info", "GET, HEAD", FBY_DIALECT_TEI, FBY_ROUTE_API, false, FBY_OP_INFO, FBY_COUNT_OTHER},
    {"/", "POST", FBY_DIALECT_TEI, FBY_ROUTE_API, false, FBY_OP_EMBED, FBY_COUNT_EMBED},
    {"/invocations", "POST", FBY_DIALECT_TEI, FBY_ROUTE_API, false, FBY_OP_EMBED, FBY_COUNT_EMBED},
    {"/", "GET, HEAD", FBY_DIALECT_NATIVE, FBY_ROUTE_PAGE, true, FBY_OP_NONE, FBY_COUNT_OTHER},
    {"/status", "GET, HEAD", FBY_DIALECT_NATIVE, FBY_ROUTE_STATUS, false, FBY_OP_NONE,
     FBY_COUNT_OTHER},
    {"/live", "GET, HEAD", FBY_DIALECT_NATIVE, FBY_ROUTE_LIVE, true, FBY_OP_NONE, FBY_COUNT_OTHER},
    {"/health", "GET, HEAD", FBY_DIALECT_NATIVE, FBY_ROUTE_HEALTH, true, FBY_OP_NONE,
     FBY_COUNT_OTHER},
    {"/v1/health", "GET, HEAD", FBY_DIALECT_NATIVE, FBY_ROUTE_HEALTH, true, FBY_OP_NONE,
     FBY_COUNT_OTHER},
    {"/ping", "GET, HEAD", FBY_DIALECT_NATIVE, FBY_ROUTE_HEALTH, true, FBY_OP_NONE,
     FBY_COUNT_OTHER},
    {"/metrics", "GET, HEAD", FBY_DIALECT_NATIVE, FBY_ROUTE_METRICS, true, FBY_OP_NONE,
     FBY_COUNT_OTHER},
};
enum { ROUTES = sizeof routes / sizeof routes[0] };

const char *fby_api_allow(const char *path)
{
    if (strcmp(path, "/") == 0)
        return "GET, HEAD, POST";
    for (int i = 0; i < ROUTES; i++)
        if (strcmp(routes[i].path, path) == 0)
            return routes[i].methods;
    return NULL;
}

/* Whether `method` is a whole word of `methods`. */
static bool allows(const char *methods, const char *method)
{
    size_t size = strlen(method);
    for (const char *at = methods; size > 0 && (at = strstr(at, method)) != NULL; at++)
        if ((at == methods || at[-1] == ' ') && (at[size] == '\0' || at[size] == ','))
            return true;
    return false;
}

/* In whose words a path that nobody serves is refused. */
static fby_dialect dialect_of(const char *path)
{
    if (strncmp(path, "/v1/", 4) == 0)
        return FBY_DIALECT_OPENAI;
    return strncmp(path, "/api/", 5) == 0 ? FBY_DIALECT_OLLAMA : FBY_DIALECT_NATIVE;
}

const fby_route *fby_api_route(const char *method, const char *path, fby_dialect *dialect,
                               fby_api_error *error)
{
    bool known = false;

    *dialect = dialect_of(path);
    for (int i = 0; i < ROUTES; i++) {
        if (strcmp(routes[i].path, path) != 0)
            continue;
        known = true;
        *dialect = routes[i].dialect;
        if (allows(routes[i].methods, method))
            return &routes[i];
    }
    if (known)
        fby_refuse(error, FBY_REFUSED_METHOD, NULL, "%.16s is not allowed for %s: use %s", method,
                   path, fby_api_allow(path));
    else
        fby_refuse(error, FBY_REFUSED_NO_ROUTE, NULL, "nothing is served at %.256s", path);
    return NULL;
}
