/* Divides texts into lines, and reads plain rows, JSON objects or records of CSV: the texts of their values as views of
 * the rows' own bytes, or written without their escapes.
 *
 * An object is plain if it is flat and in UTF-8, its keys are all known and each there once, its strings can be stored,
 * and its numbers are spelled as they would be written again. A record is plain if it is in UTF-8 and has no control
 * characters, as many fields as are named, and quotes only around whole fields. Every other row is left out: the caller
 * has careful readers, which define what a row means. So this one may leave out any row, and what it reads must be equal
 * to what they read. Memory comes from the caller; nothing is read outside of its buffers.
 */
#include "views.h"

#if defined(__SSE2__) && !defined(PORTABLE)
#define VECTORS 1
#include <emmintrin.h>
#else
#define VECTORS 0
#endif

enum { MOST_FIELDS = 64, MOST_SHAPES = 255, MOST_INTEGER_BYTES = 18, MOST_FRACTION_BYTES = 256 };

typedef enum { TEXT, INTEGER, FRACTION, BOOLEAN, NOTHING, UNKNOWN } kind;

/* Where strings are written whose escapes became characters: less than 4 GiB, the buffer behind those of the block. */
typedef struct {
  uint8_t *start;
  int64_t size, used;
} memory;

/* What is read of a block, in the order of its rows: so nothing is moved where others fill in those that are left out.
 *
 * values        for each field `height` views, one for each row
 * present       for each field `stride` bytes, all zero, of which the bit of a row is set where it has a value
 * may_be_blank  for each field, zero: set where a text is empty or begins with a blank
 * shape         for each row which order and kinds of fields it has, from 1 on; 0 if it is left out: it has no values
 */
typedef struct {
  memory texts;
  view *values;
  uint8_t *present;
  int64_t stride;
  uint8_t *may_be_blank;
  uint8_t *shape;
} columns;

/* What is left of a row. `limit` is the end of the memory that it is in: bytes up to there may be looked at. */
typedef struct {
  const uint8_t *at, *end, *limit;
  uint64_t bits; /* all bytes of its strings, and perhaps some behind them, joined by "or" */
} text;

typedef struct {
  const uint8_t *start;
  uint32_t length;
  kind kind;
  int is_written; /* to `memory` */
} value;

typedef struct {
  const uint8_t *name[MOST_FIELDS];
  uint32_t length[MOST_FIELDS];
  int count;
} keys;

/* A row's values by key, and its fields in their order: a field is its key and its kind. */
typedef struct {
  value values[MOST_FIELDS];
  uint16_t fields[MOST_FIELDS];
  int count;
  uint64_t seen;
} object;

/* The different orders and kinds of fields that rows have. */
typedef struct {
  uint16_t fields[MOST_SHAPES][MOST_FIELDS];
  int length[MOST_SHAPES];
  int count, last;
} shapes;

static const uint64_t HIGH = 0x8080808080808080u;

/* Strings ------------------------------------------------------------------------------------------------ */

static inline int stops(uint8_t byte, uint8_t one, uint8_t other) {
  return byte == one || byte == other || byte < 0x20;
}

#if !VECTORS
static const uint64_t ONES = 0x0101010101010101u;

/* Whether any of eight bytes stops: a byte is zero, or below 0x20, where subtraction borrows from its bit 7. */
static inline int has_stop(uint64_t word, uint8_t one, uint8_t other) {
  uint64_t ones = word ^ ONES * one, others = word ^ ONES * other;
  uint64_t borrowed = ((ones - ONES) & ~ones) | ((others - ONES) & ~others) | ((word - ONES * 0x20) & ~word);
  return (borrowed & HIGH) != 0;
}
#endif

/* Go to the first of two bytes, or control character; to the row's end, or beyond it, if there is none. */
static inline void go_to(text *row, uint8_t one, uint8_t other) {
  const uint8_t *at = row->at;
#if VECTORS
  const __m128i ones = _mm_set1_epi8((char)one), others = _mm_set1_epi8((char)other), control = _mm_set1_epi8(0x1f);
  for (; at < row->end && row->limit - at >= 16; at += 16) {
    __m128i bytes = _mm_loadu_si128((const __m128i *)at);
    __m128i is_stop = _mm_or_si128(_mm_or_si128(_mm_cmpeq_epi8(bytes, ones), _mm_cmpeq_epi8(bytes, others)),
                                   _mm_cmpeq_epi8(_mm_min_epu8(bytes, control), bytes));
    int found = _mm_movemask_epi8(is_stop);
    if (_mm_movemask_epi8(bytes)) row->bits = HIGH;
    if (found) {
      row->at = at + __builtin_ctz((unsigned)found);
      return;
    }
  }
#else
  for (; at < row->end && row->limit - at >= 8; at += 8) {
    uint64_t word;
    memcpy(&word, at, 8);
    if (has_stop(word, one, other)) break;
    row->bits |= word;
  }
#endif
  for (; at < row->end && !stops(*at, one, other); at++) row->bits |= *at;
  row->at = at;
}

/* Go to the first quote, backslash or control character. */
static void to_string_end(text *row) { go_to(row, '"', '\\'); }

static int is_next(text *row, uint8_t byte) {
  if (row->at >= row->end || *row->at != byte) return 0;
  row->at++;
  return 1;
}

static void skip_blanks(text *row) {
  while (row->at < row->end && (*row->at == ' ' || *row->at == '\t' || *row->at == '\r' || *row->at == '\n')) row->at++;
}

/* Read a string without escapes; its quotes are not part of the value. */
static int read_plain_string(text *row, value *found) {
  if (!is_next(row, '"')) return 0;
  found->start = row->at;
  to_string_end(row);
  found->length = (uint32_t)(row->at - found->start);
  found->kind = TEXT;
  found->is_written = 0;
  return is_next(row, '"');
}

static int32_t hexadecimal(uint8_t digit) {
  if (digit >= '0' && digit <= '9') return digit - '0';
  digit |= 0x20;
  return digit >= 'a' && digit <= 'f' ? digit - 'a' + 10 : -1;
}

/* Read the four digits of a \u; -1 if they are none. */
static int32_t read_unit(text *row) {
  int32_t unit = 0;
  for (int digits = 0; digits < 4; digits++) {
    int32_t digit = row->at < row->end ? hexadecimal(*row->at++) : -1;
    if (digit < 0) return -1;
    unit = unit << 4 | digit;
  }
  return unit;
}

/* Read the character of a \u, or of two that are halves of one; 0 if it can't be stored. */
static int32_t read_code(text *row) {
  int32_t code = read_unit(row);
  if (code < 0 || (code & 0xFC00) == 0xDC00) return 0;
  if ((code & 0xFC00) != 0xD800) return code;
  if (!is_next(row, '\\') || !is_next(row, 'u')) return 0;
  int32_t low = read_unit(row);
  return low >= 0 && (low & 0xFC00) == 0xDC00 ? 0x10000 + ((code & 0x3FF) << 10 | (low & 0x3FF)) : 0;
}

static int32_t read_escape(text *row) {
  switch (row->at < row->end ? *row->at++ : 0) {
    case '"': return '"';
    case '\\': return '\\';
    case '/': return '/';
    case 'b': return '\b';
    case 'f': return '\f';
    case 'n': return '\n';
    case 'r': return '\r';
    case 't': return '\t';
    case 'u': return read_code(row);
    default: return 0;
  }
}

/* Write a character in UTF-8, which takes no more bytes than its escape. */
static uint8_t *written(uint8_t *to, int32_t code) {
  if (code < 0x80) {
    *to++ = (uint8_t)code;
    return to;
  }
  int following = code < 0x800 ? 1 : code < 0x10000 ? 2 : 3;
  *to++ = (uint8_t)((following == 1 ? 0xC0 : following == 2 ? 0xE0 : 0xF0) | code >> 6 * following);
  while (following--) *to++ = (uint8_t)(0x80 | (code >> 6 * following & 0x3F));
  return to;
}

/* Read a string, and write it without its escapes. It takes no more memory than is left of its row. */
static int read_escaped_string(text *row, value *found, memory *texts) {
  uint8_t *start = texts->start + texts->used, *to = start;
  if (!is_next(row, '"') || texts->size - texts->used < row->end - row->at) return 0;
  while (!is_next(row, '"')) {
    const uint8_t *from = row->at;
    to_string_end(row);
    if (row->at >= row->end) return 0;
    memcpy(to, from, (size_t)(row->at - from));
    to += row->at - from;
    if (*row->at == '"') continue;
    int32_t code = is_next(row, '\\') ? read_escape(row) : 0;
    if (!code) return 0;
    to = written(to, code);
  }
  *found = (value){start, (uint32_t)(to - start), TEXT, 1};
  texts->used += to - start;
  return 1;
}

/* Read a string; one with escapes is written. */
static int read_string(text *row, value *found, memory *texts) {
  text from_start = *row;
  if (read_plain_string(row, found)) return 1;
  if (row->at >= row->end || *row->at != '\\') return 0;
  *row = from_start;
  return read_escaped_string(row, found, texts);
}

static int is_continuation(uint8_t byte) { return (byte & 0xC0) == 0x80; }

/* How many bytes the character takes that begins here; 0 if it is none (Unicode, table 3-7). */
static int character_bytes(const uint8_t *at, const uint8_t *end) {
  int64_t left = end - at;
  uint8_t first = at[0];
  if (first < 0x80) return 1;
  if (first < 0xC2 || first > 0xF4) return 0;
  if (left < 2 || !is_continuation(at[1])) return 0;
  if (first < 0xE0) return 2;
  if (left < 3 || !is_continuation(at[2])) return 0;
  if (first < 0xF0) return (first == 0xE0 && at[1] < 0xA0) || (first == 0xED && at[1] > 0x9F) ? 0 : 3;
  if (left < 4 || !is_continuation(at[3])) return 0;
  return (first == 0xF0 && at[1] < 0x90) || (first == 0xF4 && at[1] > 0x8F) ? 0 : 4;
}

static int is_utf8(const uint8_t *at, const uint8_t *end) {
  while (at < end) {
    int bytes = character_bytes(at, end);
    if (!bytes) return 0;
    at += bytes;
  }
  return 1;
}

/* Scalars ------------------------------------------------------------------------------------------------ */

static int read_digits(text *row) {
  const uint8_t *start = row->at;
  while (row->at < row->end && *row->at >= '0' && *row->at <= '9') row->at++;
  return row->at > start;
}

/* Read a number that is written again as it is spelled: no exponent, no -0, an integer of 64 bits for sure. */
static int read_number(text *row, value *found) {
  found->start = row->at;
  found->is_written = 0;
  int is_negative = is_next(row, '-');
  int is_zero = is_next(row, '0');
  if (!is_zero && !read_digits(row)) return 0;
  found->kind = INTEGER;
  if (is_next(row, '.')) {
    if (!read_digits(row)) return 0;
    found->kind = FRACTION;
  }
  int64_t length = row->at - found->start;
  found->length = (uint32_t)length;
  if (found->kind == FRACTION) return length <= MOST_FRACTION_BYTES;
  return length <= MOST_INTEGER_BYTES && !(is_negative && is_zero);
}

static int read_word(text *row, value *found, const char *word, kind kind) {
  size_t length = strlen(word);
  if ((size_t)(row->end - row->at) < length || memcmp(row->at, word, length)) return 0;
  *found = (value){row->at, (uint32_t)length, kind, 0};
  row->at += length;
  return 1;
}

static int read_value(text *row, value *found, memory *texts) {
  switch (row->at < row->end ? *row->at : 0) {
    case '"': return read_string(row, found, texts);
    case 'n': return read_word(row, found, "null", NOTHING);
    case 't': return read_word(row, found, "true", BOOLEAN);
    case 'f': return read_word(row, found, "false", BOOLEAN);
    default: return read_number(row, found);
  }
}

/* Objects ------------------------------------------------------------------------------------------------ */

/* The number of a key, sought from `likely` on, since most rows have their keys in one order; -1 if it is unknown. */
static int key_of(const keys *known, const value *name, int likely) {
  for (int tried = 0, key = likely; tried < known->count; tried++, key++) {
    if (key >= known->count) key = 0;
    if (known->length[key] == name->length && !memcmp(known->name[key], name->start, name->length)) return key;
  }
  return -1;
}

static int read_field(text *row, const keys *known, object *read, memory *texts) {
  value name;
  if (!read_plain_string(row, &name)) return 0;
  int likely = read->count ? (read->fields[read->count - 1] >> 3) + 1 : 0;
  int key = key_of(known, &name, likely);
  if (key < 0 || read->seen >> key & 1) return 0;
  skip_blanks(row);
  if (!is_next(row, ':')) return 0;
  skip_blanks(row);
  if (!read_value(row, &read->values[key], texts)) return 0;
  read->seen |= 1ull << key;
  read->fields[read->count++] = (uint16_t)(key << 3 | (int)read->values[key].kind);
  return 1;
}

/* Read a plain object; 0 if it is none. */
static int read_object(text row, const void *known, object *read, memory *texts) {
  const uint8_t *start = row.at;
  read->seen = 0;
  read->count = 0;
  skip_blanks(&row);
  if (!is_next(&row, '{')) return 0;
  do {
    skip_blanks(&row);
    if (!read_field(&row, known, read, texts)) return 0;
    skip_blanks(&row);
  } while (is_next(&row, ','));
  if (!is_next(&row, '}')) return 0;
  skip_blanks(&row);
  return row.at == row.end && (!(row.bits & HIGH) || is_utf8(start, row.end));
}

/* Records ------------------------------------------------------------------------------------------------ */

typedef struct {
  int fields;
  uint8_t separator, quote; /* the separator again, where there are no quotes */
  int is_json;              /* whether texts have to be JSON strings as they are */
} form;

/* Go to the separator behind a field, or to the row's end. */
static int read_cell(text *row, const form *of, value *found) {
  int is_quoted = of->quote != of->separator && is_next(row, of->quote);
  found->start = row->at;
  go_to(row, is_quoted ? of->quote : of->separator, of->quote);
  while (is_quoted && !of->is_json && is_next(row, of->separator)) go_to(row, of->quote, of->quote); /* a tab, perhaps */
  if (row->at > row->end) row->at = row->end;
  found->length = (uint32_t)(row->at - found->start);
  found->kind = found->length ? TEXT : NOTHING;
  found->is_written = 0;
  return (!is_quoted || is_next(row, of->quote)) && (row->at == row->end || *row->at == of->separator);
}

/* Read a plain record; 0 if it is none. */
static int read_record(text row, const void *how, object *read, memory *texts) {
  const form *of = how;
  const uint8_t *start = row.at;
  size_t length = (size_t)(row.end - start);
  (void)texts;
  if (!length || (of->is_json && memchr(start, '\\', length))) return 0;
  if (of->is_json && of->quote != '"' && memchr(start, '"', length)) return 0;
  for (int field = 0; field < of->fields; field++) {
    if (field && !is_next(&row, of->separator)) return 0;
    if (!read_cell(&row, of, &read->values[field])) return 0;
    read->fields[field] = (uint16_t)(field << 3 | (int)read->values[field].kind);
  }
  read->count = of->fields;
  read->seen = ~0ull;
  return row.at == row.end && (!(row.bits & HIGH) || is_utf8(start, row.end));
}

/* Rows --------------------------------------------------------------------------------------------------- */

/* The number of the row's shape, from 1 on; 0 if there are too many. */
static int shape_of(shapes *known, const object *read) {
  size_t bytes = (size_t)read->count * sizeof(uint16_t);
  for (int tried = 0, shape = known->last; tried < known->count; tried++, shape++) {
    if (shape >= known->count) shape = 0;
    if (known->length[shape] == read->count && !memcmp(known->fields[shape], read->fields, bytes)) {
      known->last = shape;
      return shape + 1;
    }
  }
  if (known->count == MOST_SHAPES) return 0;
  known->last = known->count++;
  known->length[known->last] = read->count;
  memcpy(known->fields[known->last], read->fields, bytes);
  return known->last + 1;
}

/* The bytes of a row; of none if its view leads out of the buffers. */
static text text_of(const view *row, const block *in) {
  if (row->length <= INLINE) {
    const uint8_t *start = (const uint8_t *)row + sizeof row->length;
    return (text){start, start + row->length, start + row->length, 0};
  }
  if (row->buffer >= in->count || (int64_t)row->offset + row->length > in->sizes[row->buffer]) return (text){0};
  const uint8_t *buffer = in->buffers[row->buffer], *start = buffer + row->offset;
  return (text){start, start + row->length, buffer + in->sizes[row->buffer], 0};
}

/* Write the values of a row that was read; none if it was not. */
static void write_row(const object *read, int fields, const block *in, int64_t number, const uint8_t *start, columns *to) {
  const view *row = &in->rows[number];
  for (int field = 0; field < fields; field++) {
    const value *found = &read->values[field];
    view *made = &to->values[field * in->height + number];
    if (!(read->seen >> field & 1) || found->kind == NOTHING) {
      *made = (view){0};
      continue;
    }
    *made = found->is_written
                ? view_of(found->start, found->length, (uint32_t)in->count, (uint32_t)(found->start - to->texts.start))
                : view_of(found->start, found->length, row->buffer, row->offset + (uint32_t)(found->start - start));
    to->present[field * to->stride + (number >> 3)] |= (uint8_t)(1 << (number & 7));
    if (!found->length || *found->start <= ' ') to->may_be_blank[field] = 1;
  }
}

typedef int (*reader)(text row, const void *how, object *read, memory *texts);

/* Read the plain rows of a block; returns how many they are. */
static int64_t read_rows(const block *in, reader read_row, const void *how, int fields, columns *to) {
  object read;
  shapes found;
  int64_t done = 0;
  found.count = found.last = 0;
  for (int64_t number = 0; number < in->height; number++) {
    text row = text_of(&in->rows[number], in);
    int64_t used = to->texts.used;
    int shape = row.at && read_row(row, how, &read, &to->texts) ? shape_of(&found, &read) : 0;
    if (!shape) {
      to->texts.used = used;
      read.seen = 0;
    }
    write_row(&read, fields, in, number, row.at, to);
    to->shape[number] = (uint8_t)shape;
    done += shape > 0;
  }
  return done;
}

/* Read the plain objects of a block. The fields are the known keys: `names` is their UTF-8 joined, `lengths` the bytes of
 * each. Returns how many rows are read, or -1 where there are too many keys. */
int64_t read_objects(const block *in, const uint8_t *names, const int32_t *lengths, int32_t known, columns *to) {
  keys named = {.count = known};
  if (known < 1 || known > MOST_FIELDS) return -1;
  for (int key = 0; key < known; names += lengths[key++]) {
    named.name[key] = names;
    named.length[key] = (uint32_t)lengths[key];
  }
  return read_rows(in, read_object, &named, known, to);
}

/* Read the plain records of a block, which have so many fields. `quote` is the separator where there are no quotes;
 * `is_json` says whether texts have to be JSON strings as they are. Returns as read_objects does. */
int64_t read_records(const block *in, int32_t fields, uint8_t separator, uint8_t quote, int32_t is_json, columns *to) {
  form of = {fields, separator, quote, is_json};
  return fields < 1 || fields > MOST_FIELDS ? -1 : read_rows(in, read_record, &of, fields, to);
}

/* Lines -------------------------------------------------------------------------------------------------- */

enum { RUN = 240 };

/* How many lines a text has. A line feed ends a line; what follows the last one is a line, too. */
int64_t count_lines(const uint8_t *text, int64_t size) {
  int64_t lines = size && text[size - 1] != '\n', at = 0;
  while (at < size) { /* in runs that a byte can count, so that compilers count many bytes at once */
    const int64_t stop = size - at > RUN ? at + RUN : size;
    uint8_t count = 0;
    for (; at < stop; at++) count += text[at] == '\n';
    lines += count;
  }
  return lines;
}

/* Whether a line has an odd number of a byte, such as a quote that is open at its end. */
int32_t has_odd_line(const uint8_t *text, int64_t size, uint8_t byte) {
  const uint8_t *end = text + size, *at = size ? memchr(text, byte, (size_t)size) : NULL;
  while (at) { /* at the first one of a line */
    const uint8_t *feed = memchr(at, '\n', (size_t)(end - at)), *stop = feed ? feed : end;
    uint32_t count = 0;
    for (; at < stop; at++) count += *at == byte;
    if (count & 1) return 1;
    at = feed ? memchr(feed + 1, byte, (size_t)(end - feed - 1)) : NULL;
  }
  return 0;
}

/* Divide a text of less than 4 GiB, from `start` on, into so many lines, and what ends each: LF, CR and LF, or nothing.
 * The text is the views' buffer 0. Returns where the next line starts. */
int64_t split_lines(const uint8_t *text, int64_t size, int64_t start, int64_t count, view *lines, view *terminators) {
  const uint8_t *at = text + start, *end = text + size;
  while (at < end && count--) {
    const uint8_t *feed = memchr(at, '\n', (size_t)(end - at));
    const uint8_t *stop = feed ? feed : end, *next = feed ? feed + 1 : end;
    if (feed && feed > at && feed[-1] == '\r') stop--;
    *lines++ = view_of(at, (uint32_t)(stop - at), 0, (uint32_t)(at - text));
    *terminators++ = view_of(stop, (uint32_t)(next - stop), 0, 0);
    at = next;
  }
  return at - text;
}
