#include "json.h"

#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { DEEPEST = 32 };

typedef struct {
    const char *start, *at, *end;
    char *why;
    size_t why_size;
} Reader;

void *must_realloc(void *old, size_t count, size_t size) {
    void *fresh = size && count > SIZE_MAX / size ? NULL : realloc(old, count * size);
    if (!fresh && count) {
        fputs("agent: out of memory\n", stderr);
        exit(1);
    }
    return fresh;
}

// ---- reading

static bool fail(Reader *reader, const char *reason) {
    int line = 1, column = 1;
    for (const char *c = reader->start; c < reader->at; c++) {
        column = *c == '\n' ? 1 : column + 1;
        line += *c == '\n';
    }
    snprintf(reader->why, reader->why_size, "line %d column %d: %s", line, column, reason);
    return false;
}

static void skip_space(Reader *reader) {
    while (reader->at < reader->end && strchr(" \t\r\n", *reader->at) && *reader->at) reader->at++;
}

static bool next_is(Reader *reader, char c) { return reader->at < reader->end && *reader->at == c; }

static int hex_digit(char c) {
    if (c >= '0' && c <= '9') return c - '0';
    if (c >= 'a' && c <= 'f') return c - 'a' + 10;
    if (c >= 'A' && c <= 'F') return c - 'A' + 10;
    return -1;
}

// The four hexadecimal digits at `at`, or -1.
static long code_unit(const Reader *reader, const char *at) {
    long value = 0;
    if (reader->end - at < 4) return -1;
    for (int i = 0; i < 4; i++) {
        int digit = hex_digit(at[i]);
        if (digit < 0) return -1;
        value = value * 16 + digit;
    }
    return value;
}

static char *put_utf8(char *out, long code) {
    if (code < 0x80) {
        *out++ = (char)code;
    } else if (code < 0x800) {
        *out++ = (char)(0xC0 | code >> 6);
        *out++ = (char)(0x80 | (code & 0x3F));
    } else if (code < 0x10000) {
        *out++ = (char)(0xE0 | code >> 12);
        *out++ = (char)(0x80 | (code >> 6 & 0x3F));
        *out++ = (char)(0x80 | (code & 0x3F));
    } else {
        *out++ = (char)(0xF0 | code >> 18);
        *out++ = (char)(0x80 | (code >> 12 & 0x3F));
        *out++ = (char)(0x80 | (code >> 6 & 0x3F));
        *out++ = (char)(0x80 | (code & 0x3F));
    }
    return out;
}

// What follows a backslash. An escape is never shorter than what it stands for, so `out` has room.
static char *read_escape(Reader *reader, char *out) {
    static const char names[] = "\"\\/bfnrt", values[] = "\"\\/\b\f\n\r\t";
    if (reader->at >= reader->end) return NULL;
    char c = *reader->at++;
    const char *name = c ? strchr(names, c) : NULL;
    if (name) {
        *out++ = values[name - names];
        return out;
    }
    if (c != 'u') return NULL;
    long code = code_unit(reader, reader->at);
    if (code <= 0) return NULL;
    reader->at += 4;
    if (code >= 0xD800 && code < 0xE000) {  // one half of a pair
        if (code >= 0xDC00 || reader->end - reader->at < 6 || reader->at[0] != '\\' || reader->at[1] != 'u') return NULL;
        long low = code_unit(reader, reader->at + 2);
        if (low < 0xDC00 || low > 0xDFFF) return NULL;
        reader->at += 6;
        code = 0x10000 + ((code - 0xD800) << 10) + (low - 0xDC00);
    }
    return put_utf8(out, code);
}

static char *read_string(Reader *reader) {
    const char *close = ++reader->at;  // past the opening quote
    while (close < reader->end && *close != '"') close += *close == '\\' ? 2 : 1;
    if (close >= reader->end) {
        fail(reader, "a string without an end");
        return NULL;
    }
    char *text = must_realloc(NULL, (size_t)(close - reader->at) + 1, 1), *out = text;
    while (reader->at < close) {
        char c = *reader->at;
        if ((unsigned char)c < 0x20) {
            fail(reader, "a control character in a string");
            free(text);
            return NULL;
        }
        reader->at++;
        if (c != '\\') {
            *out++ = c;
        } else if (!(out = read_escape(reader, out))) {
            fail(reader, "a bad escape in a string");
            free(text);
            return NULL;
        }
    }
    reader->at = close + 1;
    *out = 0;
    return text;
}

static size_t digits(Reader *reader) {
    const char *before = reader->at;
    while (reader->at < reader->end && *reader->at >= '0' && *reader->at <= '9') reader->at++;
    return (size_t)(reader->at - before);
}

static bool read_number(Reader *reader, Json *value) {
    const char *start = reader->at;
    if (next_is(reader, '-')) reader->at++;
    bool zero = next_is(reader, '0');
    size_t whole = digits(reader);
    bool good = whole == 1 || (whole > 1 && !zero);
    if (good && next_is(reader, '.')) {
        reader->at++;
        good = digits(reader) > 0;
    }
    if (good && (next_is(reader, 'e') || next_is(reader, 'E'))) {
        reader->at++;
        if (next_is(reader, '+') || next_is(reader, '-')) reader->at++;
        good = digits(reader) > 0;
    }
    char copy[64];
    size_t length = (size_t)(reader->at - start);
    if (!good || length >= sizeof copy) {
        reader->at = start;
        return fail(reader, "not a value");
    }
    memcpy(copy, start, length);
    copy[length] = 0;
    value->kind = JSON_NUMBER;
    value->number = strtod(copy, NULL);
    return isfinite(value->number) || fail(reader, "a number too large");
}

static bool read_word(Reader *reader, const char *word) {
    size_t length = strlen(word);
    if ((size_t)(reader->end - reader->at) < length || memcmp(reader->at, word, length) != 0)
        return fail(reader, "not a value");
    reader->at += length;
    return true;
}

static bool read_value(Reader *reader, Json *value, int depth);

// The items of an array or the members of an object, up to the closing bracket.
static bool read_items(Reader *reader, Json *value, char close, int depth) {
    Json **link = &value->first;
    reader->at++;
    skip_space(reader);
    if (next_is(reader, close)) {
        reader->at++;
        return true;
    }
    for (;;) {
        Json *item = *link = must_realloc(NULL, 1, sizeof *item);
        memset(item, 0, sizeof *item);
        link = &item->next;
        value->count++;
        skip_space(reader);
        if (close == '}') {
            if (!next_is(reader, '"')) return fail(reader, "expected a name in quotes");
            if (!(item->key = read_string(reader))) return false;
            skip_space(reader);
            if (!next_is(reader, ':')) return fail(reader, "expected a colon");
            reader->at++;
        }
        if (!read_value(reader, item, depth + 1)) return false;
        skip_space(reader);
        if (next_is(reader, close)) {
            reader->at++;
            return true;
        }
        if (!next_is(reader, ',')) return fail(reader, close == '}' ? "expected , or }" : "expected , or ]");
        reader->at++;
    }
}

static bool read_value(Reader *reader, Json *value, int depth) {
    skip_space(reader);
    if (depth > DEEPEST) return fail(reader, "nested too deeply");
    if (reader->at >= reader->end) return fail(reader, "ends too early");
    switch (*reader->at) {
        case '{': value->kind = JSON_OBJECT; return read_items(reader, value, '}', depth);
        case '[': value->kind = JSON_ARRAY; return read_items(reader, value, ']', depth);
        case '"': value->kind = JSON_STRING; return (value->string = read_string(reader)) != NULL;
        case 't': value->kind = JSON_BOOL; value->boolean = true; return read_word(reader, "true");
        case 'f': value->kind = JSON_BOOL; return read_word(reader, "false");
        case 'n': return read_word(reader, "null");
        default: return read_number(reader, value);
    }
}

Json *json_parse(const char *text, size_t length, char *why, size_t why_size) {
    Reader reader = {text, text, text + length, why, why_size};
    Json *value = must_realloc(NULL, 1, sizeof *value);
    memset(value, 0, sizeof *value);
    bool good = read_value(&reader, value, 0);
    skip_space(&reader);
    if (good && reader.at < reader.end) good = fail(&reader, "something after the end");
    if (good) return value;
    json_free(value);
    return NULL;
}

void json_free(Json *value) {
    while (value) {  // as deep as the nesting, not as long as the lists
        Json *next = value->next;
        json_free(value->first);
        free(value->string);
        free(value->key);
        free(value);
        value = next;
    }
}

const Json *json_member(const Json *object, const char *key) {
    const Json *found = NULL;
    if (object && object->kind == JSON_OBJECT)
        for (const Json *member = object->first; member; member = member->next)
            if (strcmp(member->key, key) == 0) found = member;
    return found;
}

// ---- writing

static char *room_for(Line *line, size_t more) {
    if (line->room - line->length < more) {
        line->room = (line->length + more) * 2;
        line->text = must_realloc(line->text, line->room, 1);
    }
    return line->text + line->length;
}

void line_add(Line *line, const char *format, ...) {
    va_list arguments, again;
    va_start(arguments, format);
    va_copy(again, arguments);
    int needed = vsnprintf(NULL, 0, format, arguments);
    if (needed > 0) {
        vsnprintf(room_for(line, (size_t)needed + 1), (size_t)needed + 1, format, again);
        line->length += (size_t)needed;
    }
    va_end(again);
    va_end(arguments);
}

// How many bytes the UTF-8 character at `c` has, 0 if there is none.
static size_t utf8_length(const unsigned char *c) {
    static const long least[] = {0, 0, 0x80, 0x800, 0x10000};
    size_t length = c[0] < 0x80 ? 1 : c[0] >> 5 == 6 ? 2 : c[0] >> 4 == 14 ? 3 : c[0] >> 3 == 30 ? 4 : 0;
    if (length < 2) return length;
    long code = c[0] & (0x7F >> length);
    for (size_t i = 1; i < length; i++) {  // the NUL at the end is no continuation byte
        if (c[i] >> 6 != 2) return 0;
        code = code << 6 | (c[i] & 0x3F);
    }
    return code < least[length] || code > 0x10FFFF || (code >= 0xD800 && code < 0xE000) ? 0 : length;
}

void line_string(Line *line, const char *text) {
    if (!text) {
        line_add(line, "null");
        return;
    }
    line_add(line, "\"");
    for (const unsigned char *c = (const unsigned char *)text; *c;) {
        size_t length = utf8_length(c);
        if (length == 0) {
            line_add(line, "?");
            c++;
        } else if (*c < 0x20 || *c == '"' || *c == '\\') {
            line_add(line, "\\u%04x", *c);
            c++;
        } else {
            line_add(line, "%.*s", (int)length, (const char *)c);
            c += length;
        }
    }
    line_add(line, "\"");
}

void line_number(Line *line, double value) {
    if (isfinite(value))
        line_add(line, "%.10g", value);
    else
        line_add(line, "null");
}

void line_integers(Line *line, const int64_t *values, size_t count) {
    line_add(line, "[");
    for (size_t i = 0; i < count; i++) line_add(line, i ? ", %lld" : "%lld", (long long)values[i]);
    line_add(line, "]");
}

void line_free(Line *line) {
    free(line->text);
    memset(line, 0, sizeof *line);
}
