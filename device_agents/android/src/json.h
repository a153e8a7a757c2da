// JSON (RFC 8259): reading a manifest from whoever wrote it, and writing protocol lines.
#ifndef OFA_JSON_H
#define OFA_JSON_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef enum { JSON_NULL, JSON_BOOL, JSON_NUMBER, JSON_STRING, JSON_ARRAY, JSON_OBJECT } JsonKind;

// A value. Members of an object and items of an array are a linked list; `key` is set for members only.
typedef struct Json {
    JsonKind kind;
    bool boolean;
    double number;
    char *string;
    char *key;
    struct Json *first, *next;
    size_t count;  // of items or members
} Json;

// The value in `text`, or NULL and the reason, with its place, in `why`. Strings that hold a NUL are refused.
Json *json_parse(const char *text, size_t length, char *why, size_t why_size);
void json_free(Json *value);
// The member of an object, or NULL. The last of two of one name counts, as in Python.
const Json *json_member(const Json *object, const char *key);

// A growing line of output. Running out of memory ends the process.
typedef struct {
    char *text;
    size_t length, room;
} Line;

void line_add(Line *line, const char *format, ...) __attribute__((format(printf, 2, 3)));
void line_string(Line *line, const char *text);       // quoted and escaped; null for NULL; bytes that are no UTF-8 as ?
void line_number(Line *line, double value);           // null for NaN: what could not be read
void line_integers(Line *line, const int64_t *values, size_t count);
void line_free(Line *line);

void *must_realloc(void *old, size_t count, size_t size);

#endif
