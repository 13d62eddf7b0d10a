/* Gives the scanner texts, each in memory of just its size, so that a sanitizer sees any byte read outside of it.
 *
 * With clang's libFuzzer (-fsanitize=fuzzer -DLIBFUZZER) it makes the texts. Otherwise: harness SEED SECONDS FILE …
 * reads each file, and then mutations of them for so many seconds. A text that it aborts on is in `last_text`.
 */
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "digests.c"
#include "lookups.c"
#include "messages.c"
#include "scanner.c"

static const char NAMES[] = "ab\xc3\xa9user_idevent_timestamp";
static const int32_t LENGTHS[] = {1, 1, 2, 7, 15};
enum { KNOWN = 5, LONGEST = 1 << 16 };

static uint8_t last_text[LONGEST];
static size_t last_size;

static void expect(int is_so, const char *what) {
  if (is_so) return;
  fprintf(stderr, "%s: %.*s\n", what, (int)last_size, (const char *)last_text);
  abort();
}

static const uint8_t *bytes_of(const view *text, const uint8_t *buffer) {
  return text->length <= INLINE ? (const uint8_t *)text + 4 : buffer + text->offset;
}

/* A value that is not inline has to lie in its row, or in what was written, in UTF-8; any other one has to be some of the
 * row's bytes, where these are without escapes. */
static void check_value(const view *value, const view *row, const uint8_t *buffer, const memory *texts) {
  const uint8_t *start = bytes_of(row, buffer), *text = bytes_of(value, value->buffer ? texts->start : buffer);
  expect(value->length <= row->length, "a value is longer than its row");
  if (value->length > INLINE && value->buffer) {
    expect(value->buffer == 1 && value->offset + value->length <= texts->used, "a value is outside of what was written");
    expect(!memcmp(value->prefix, text, 4), "a value has another prefix");
    expect(is_utf8(text, text + value->length), "what was written is no text");
    return;
  }
  if (memchr(start, '\\', row->length)) {
    expect(is_utf8(text, text + value->length), "what was written is no text");
    return;
  }
  if (value->length > INLINE) {
    expect(text >= start && text + value->length <= start + row->length, "a value is outside of its row");
    expect(!memcmp(value->prefix, text, 4), "a value has another prefix");
    return;
  }
  for (uint32_t at = 0; at + value->length <= row->length; at++)
    if (!memcmp(start + at, text, value->length)) return;
  expect(0, "a value is no part of its row");
}

/* Lines and what ends them, joined, are the text. */
static void check_lines(const view *lines, const view *terminators, int64_t height, const uint8_t *text, size_t size) {
  size_t at = 0;
  for (int64_t line = 0; line < height; line++) {
    expect(!memcmp(bytes_of(&lines[line], text), text + at, lines[line].length), "a line is another one");
    at += lines[line].length;
    expect(terminators[line].length <= 2, "more than a line's end ends it");
    expect(!memcmp(bytes_of(&terminators[line], text), text + at, terminators[line].length), "a line ends otherwise");
    at += terminators[line].length;
  }
  expect(at == size, "the lines are not the text");
}

/* Memory of just the size that a block of so many rows and fields needs. */
static columns columns_of(int64_t height, int fields, int64_t size) {
  int64_t stride = (height + 7) / 8;
  size_t rows = (size_t)height, all = rows * (size_t)fields;
  return (columns){{malloc((size_t)size + 1), size, 0},
                   malloc(all * sizeof(view) + 1),
                   calloc((size_t)(stride * fields) + 1, 1),
                   stride,
                   calloc((size_t)fields, 1),
                   malloc(rows + 1)};
}

static void free_columns(columns *read) {
  free(read->texts.start), free(read->values), free(read->present), free(read->may_be_blank), free(read->shape);
}

static void check_columns(const block *in, const columns *read, int fields, int64_t done) {
  expect(done >= 0 && done <= in->height, "more rows are read than there are");
  expect(read->texts.used >= 0 && read->texts.used <= read->texts.size, "more is written than there is memory");
  static const view none;
  int64_t found = 0;
  for (int64_t row = 0; row < in->height; row++) {
    found += read->shape[row] > 0;
    for (int field = 0; field < fields; field++) {
      const view *value = &read->values[field * in->height + row];
      if (read->present[field * read->stride + row / 8] >> row % 8 & 1) {
        expect(read->shape[row] > 0, "a row that is left out has a value");
        check_value(value, &in->rows[row], in->buffers[0], &read->texts);
      } else {
        expect(!memcmp(value, &none, sizeof none), "what is no value leads somewhere");
      }
    }
  }
  expect(found == done, "other rows are read than are counted");
}

static void check_records(const block *in, int fields, uint8_t separator, uint8_t quote, int is_json) {
  columns read = columns_of(in->height, fields, 0);
  check_columns(in, &read, fields, read_records(in, fields, separator, quote, is_json, &read));
  free_columns(&read);
}

/* Rows that are digested together have the UUIDs that they have one by one. */
static void check_uuids(const block *in) {
  size_t height = (size_t)in->height;
  uint8_t *uuids = malloc(height * UUID + 1), alone[UUID];
  view *views = malloc(height * sizeof(view) + 1), one;
  block both[] = {*in, *in}, single[2];
  expect(write_uuids(both, 2, 31, uuids, views), "a text is nowhere");
  for (size_t row = 0; row < height; row++) {
    single[0] = single[1] = (block){in->rows + row, 1, in->buffers, in->sizes, in->count};
    expect(write_uuids(single, 2, 31, alone, &one) && !memcmp(alone, uuids + UUID * row, UUID), "a UUID is another one");
    expect(views[row].length == UUID && views[row].offset == UUID * row, "a UUID is somewhere else");
  }
  free(uuids), free(views);
}

/* Lines are records of themselves, and keys of envelopes that have the largest numbers; each view leads to its own. */
static void check_messages(const view *lines, const view *terminators, int64_t height, const uint8_t *text, size_t size) {
  static const char BEGINNING[] = "{\"topic\":\"a\",\"offset\":";
  size_t rows = (size_t)height, length = sizeof BEGINNING - 1, at = 0;
  int64_t *sizes = malloc(rows * sizeof *sizes + 1), *numbers = malloc(rows * sizeof *numbers + 1);
  uint8_t *framed = malloc(size + 21 * rows + 1), *envelopes = malloc(size + (length + 70) * rows + 1);
  view *views = malloc(rows * sizeof(view) + 1);
  int is_any_other = 0;
  for (size_t row = 0; row < rows; row++) {
    sizes[row] = lines[row].length + terminators[row].length;
    numbers[row] = row % 2 ? INT64_MIN : INT64_MAX;
    is_any_other |= terminators[row].length > 0 || !is_plain(bytes_of(&lines[row], text), lines[row].length);
  }
  int64_t used = frame_records(text, sizes, height, framed, views);
  expect(used <= (int64_t)(size + 21 * rows), "more is written than there is memory");
  for (size_t row = 0; row < rows; row++) {
    expect(views[row].length == sizes[row], "a record has another size");
    expect(!memcmp(bytes_of(&views[row], framed), text + at, (size_t)sizes[row]), "a record is another one");
    at += (size_t)sizes[row];
  }
  used = write_envelopes((const uint8_t *)BEGINNING, (int64_t)length, numbers, numbers, text, sizes, height, envelopes, views);
  expect(used == -1 ? is_any_other : !is_any_other, "a key is taken for another kind of key");
  for (size_t row = 0; used >= 0 && row < rows; row++) {
    const uint8_t *made = bytes_of(&views[row], envelopes);
    expect(views[row].offset + views[row].length <= used, "an envelope is outside of what was written");
    expect(!memcmp(made, BEGINNING, length) && made[views[row].length - 1] == '}', "an envelope is another one");
  }
  free(sizes), free(numbers), free(framed), free(envelopes), free(views);
}

/* Find lines among those of the first half, with so few slots that more are needed. Each row has the place of a text that
 * is equal, and what is new is equal to none before it. */
static void check_lookups(const view *lines, int64_t height, const uint8_t *text, size_t size, uint64_t key) {
  const uint8_t *buffers[] = {text};
  int64_t sizes[] = {(int64_t)size}, half = height / 2, done = 0, room = 1;
  size_t rows = (size_t)height + 1, width = sizeof(int32_t);
  uint8_t *is_null = calloc(rows, 1);
  int32_t *places = malloc(rows * width), *first = malloc(rows * width);
  view *known = malloc(rows * sizeof *known);
  distinct_texts in = {.null_at = -1, .key = key};
  for (int64_t row = 0; row < height; row++) is_null[row] = lines[row].length == 1;
  for (int64_t start = 0; done >= 0 && start < height; start = half && start < half ? half : height) {
    int64_t rest = start ? height - half : half ? half : height, before = in.count;
    in.texts = (block){lines + start, rest, buffers, sizes, 1};
    in.known = (block){known, before, buffers, sizes, 1};
    in.is_null = is_null + start;
    int32_t *found = malloc((size_t)rest * width + 1), *new = malloc((size_t)rest * width + 1);
    in.first = new;
    for (done = 0; done >= 0 && done < rest; room *= 2) {
      in.room = room, in.size = 4 * room;
      in.hashes = realloc(in.hashes, (size_t)room * sizeof *in.hashes);
      in.slots = realloc(in.slots, (size_t)in.size * width);
      memset(in.slots, 0xff, (size_t)in.size * width);
      fill_slots(&in);
      done = find_texts(&in, done, found);
    }
    for (int64_t row = 0; done >= 0 && row < rest; row++) places[start + row] = found[row];
    for (int64_t place = before; place < in.count; place++) {
      first[place] = (int32_t)start + new[place - before];
      known[place] = lines[first[place]];
    }
    free(found), free(new);
  }
  for (int64_t row = 0; done >= 0 && row < height; row++) {
    const view *is = &lines[row], *other = &lines[first[places[row]]];
    expect(first[places[row]] <= row, "a text is found before it is there");
    expect(is_null[row] == is_null[first[places[row]]], "a null is taken for a text");
    if (is_null[row]) continue;
    expect(is->length == other->length && !memcmp(bytes_of(is, text), bytes_of(other, text), is->length),
           "a text is taken for another one");
  }
  for (int64_t one = 0; one < in.count && one < 64; one++)
    for (int64_t other = 0; other < one; other++) {
      const view *is = &known[one], *was = &known[other];
      expect(is->length != was->length || memcmp(bytes_of(is, text), bytes_of(was, text), is->length), "a text is new twice");
    }
  free(is_null), free(places), free(first), free(known), free(in.hashes), free(in.slots);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  if (size > LONGEST) return 0;
  memcpy(last_text, data, last_size = size);
  uint8_t *text = malloc(size ? size : 1);
  memcpy(text, data, size);
  int64_t height = count_lines(text, (int64_t)size), sizes[] = {(int64_t)size};
  view *rows = malloc((size_t)height * sizeof(view) + 1), *terminators = malloc((size_t)height * sizeof(view) + 1);
  int64_t half = split_lines(text, (int64_t)size, 0, height / 2, rows, terminators), rest = height - height / 2;
  split_lines(text, (int64_t)size, half, rest, rows + height / 2, terminators + height / 2);
  int32_t is_odd = 0;
  for (int64_t row = 0; row < height; row++) {
    const uint8_t *line = bytes_of(&rows[row], text);
    uint32_t quotes = 0;
    for (uint32_t at = 0; at < rows[row].length; at++) quotes += line[at] == '"';
    is_odd |= (int32_t)(quotes & 1);
  }
  expect(has_odd_line(text, (int64_t)size, '"') == is_odd, "odd lines are others");
  check_lines(rows, terminators, height, text, size);
  check_messages(rows, terminators, height, text, size);
  const uint8_t *buffers[] = {text};
  block in = {rows, height, buffers, sizes, 1};
  check_uuids(&in);
  check_lookups(rows, height, text, size, 0);
  check_lookups(rows, height, text, size, 0x0123456789abcdef);
  columns read = columns_of(height, KNOWN, (int64_t)size);
  check_columns(&in, &read, KNOWN, read_objects(&in, (const uint8_t *)NAMES, LENGTHS, KNOWN, &read));
  free_columns(&read);
  check_records(&in, 2, ',', '"', 0);
  check_records(&in, 3, '\t', '"', 1);
  check_records(&in, 1, ':', ':', 1);
  free(text), free(rows), free(terminators);
  return 0;
}

#ifndef LIBFUZZER
/* Views that lead out of what buffers are said to be are no rows, and keys beyond the most are refused. The memory
 * behind them is there, so that a scanner without these guards reads it without harm. */
static void check_guards(void) {
  static const char line[] = "{\"a\":\"0123456789\"}";
  int64_t size = sizeof line - 1;
  const uint8_t *text = (const uint8_t *)line, *buffers[] = {text, text}, *names = (const uint8_t *)NAMES;
  struct {
    uint32_t buffer;
    int64_t size;
    int32_t known;
    int64_t expected;
  } cases[] = {
      {0, size, KNOWN, 1}, {0, size - 1, KNOWN, 0}, {1, size, KNOWN, 0}, {0, size, 0, -1}, {0, size, MOST_FIELDS + 1, -1}};
  for (size_t number = 0; number < sizeof cases / sizeof *cases; number++) {
    view row = {(uint32_t)size, "{\"a", cases[number].buffer, 0};
    int64_t sizes[] = {cases[number].size, size};
    block in = {&row, 1, buffers, sizes, 1};
    columns read = columns_of(1, KNOWN, 0);
    int64_t done = read_objects(&in, names, LENGTHS, cases[number].known, &read);
    expect(done == cases[number].expected, "a guard does not hold");
    uint8_t uuid[UUID];
    view made;
    expect(write_uuids(&in, 1, 31, uuid, &made) == (cases[number].buffer == 0 && cases[number].size == size),
           "a digest is made of what is in no buffer");
    int32_t place, slots[] = {-1, -1, -1, -1}, first;
    uint64_t hash;
    uint8_t is_null = 0;
    distinct_texts lookup = {.texts = in, .is_null = &is_null, .first = &first, .slots = slots, .size = 4, .hashes = &hash,
                             .room = 1, .null_at = -1, .key = 1};
    expect((find_texts(&lookup, 0, &place) == 1) == (cases[number].buffer == 0 && cases[number].size == size),
           "a text is found that is in no buffer");
    if (done < 0) expect(read_records(&in, cases[number].known, ',', '"', 0, &read) == -1, "fields are not counted");
    free_columns(&read);
  }
}

static uint64_t state;

static size_t chance(size_t below) {
  state ^= state << 13, state ^= state >> 7, state ^= state << 17;
  return below ? (size_t)(state % below) : 0;
}

static const char *const PIECES[] = {"\"", "\\", "{", "}", ":", ",", "\n", "\r", "null", "true", "-0", "1e5", "\t", "a,b\n", "\xc3",
                                     "\xed\xa0\x80", "\xf0\x9f\x98\x80", "\x1f", "\"a\":", "\\u00e4", "\\ud83d\\ude00", "\\ud83d", "\\n", "0123456789012345678", "[]"};

/* Change, put in, cut out or repeat something. */
static size_t mutated(uint8_t *text, size_t size) {
  size_t at = chance(size + 1), length = chance(40);
  const char *piece = PIECES[chance(sizeof PIECES / sizeof *PIECES)];
  switch (chance(4)) {
    case 0: if (at < size) text[at] = (uint8_t)chance(256); return size;
    case 1: length = length < size - at ? length : size - at; memmove(text + at, text + at + length, size - at - length); return size - length;
    case 2: length = strlen(piece); break;
    default: length = length < size - at ? length : size - at; piece = (const char *)text + at; break;
  }
  if (size + length > LONGEST) return size;
  uint8_t copy[40];
  memcpy(copy, piece, length);
  memmove(text + at + length, text + at, size - at);
  memcpy(text + at, copy, length);
  return size + length;
}

int main(int count, char **given) {
  static uint8_t texts[256][LONGEST];
  static size_t sizes[256];
  uint8_t *text = malloc(LONGEST);
  int files = count - 3;
  expect(files > 0 && files <= 256, "harness SEED SECONDS FILE …");
  check_guards();
  state = strtoull(given[1], 0, 10) * 2 + 1;
  for (int number = 0; number < files; number++) {
    FILE *file = fopen(given[number + 3], "rb");
    expect(file != 0, "a file can't be opened");
    sizes[number] = fread(texts[number], 1, LONGEST, file);
    fclose(file);
    LLVMFuzzerTestOneInput(texts[number], sizes[number]);
  }
  long done = 0;
  for (time_t end = time(0) + strtol(given[2], 0, 10); time(0) < end; done++) {
    size_t number = chance((size_t)files), size = sizes[number];
    memcpy(text, texts[number], size);
    for (size_t times = 1 + chance(6); times; times--) size = mutated(text, size);
    LLVMFuzzerTestOneInput(text, size);
  }
  free(text);
  printf("%ld texts\n", done);
  return 0;
}
#endif
