// What a model computed: reported where the host asks for it, and looked at where it must be of float16.
#ifndef OFA_OUTPUTS_H
#define OFA_OUTPUTS_H

#include <stdbool.h>

#include "json.h"
#include "manifest.h"

// `, "outputs": [...]` of a model that was run, where the manifest asks for them; null where they are no float32.
void line_outputs(Line *line, const Manifest *manifest, void *model);

// Whether a model that was run computed in the type that the manifest asks for, as far as that can be seen: what
// float16 holds is all that comes out. Runtimes do not tell. The reason in `why` if not.
bool is_of_dtype(const Manifest *manifest, void *model, char *why);

#endif
