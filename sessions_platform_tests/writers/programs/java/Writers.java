import com.fasterxml.jackson.databind.ObjectMapper;
import com.fasterxml.jackson.databind.SerializationFeature;
import java.io.File;
import java.math.BigDecimal;
import java.math.BigInteger;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.file.Path;
import java.time.Duration;
import java.time.Instant;
import java.time.LocalDate;
import java.time.LocalDateTime;
import java.time.LocalTime;
import java.time.ZoneOffset;
import java.time.temporal.Temporal;
import java.util.*;
import org.apache.avro.*;
import org.apache.avro.data.TimeConversions;
import org.apache.avro.file.*;
import org.apache.avro.generic.*;
import org.apache.hadoop.conf.Configuration;
import org.apache.parquet.avro.*;
import org.apache.parquet.column.ParquetProperties.WriterVersion;
import org.apache.parquet.example.data.Group;
import org.apache.parquet.example.data.simple.NanoTime;
import org.apache.parquet.example.data.simple.SimpleGroupFactory;
import org.apache.parquet.hadoop.ParquetReader;
import org.apache.parquet.hadoop.ParquetWriter;
import org.apache.parquet.hadoop.example.ExampleParquetWriter;
import org.apache.parquet.hadoop.metadata.CompressionCodecName;
import org.apache.parquet.io.LocalInputFile;
import org.apache.parquet.io.LocalOutputFile;
import org.apache.parquet.io.api.Binary;
import org.apache.parquet.schema.MessageType;
import org.apache.parquet.schema.MessageTypeParser;

/** Writes files of Parquet and Avro, and beside each, as FILE.json, the rows that Java reads from it. */
public class Writers {
  static final ObjectMapper JSON = new ObjectMapper();
  static final GenericData MODEL = model();
  static Path folder;

  public static void main(String[] arguments) throws Exception {
    folder = Path.of(arguments[0]);
    for (String codec : List.of("null", "deflate", "snappy", "zstandard", "bzip2", "xz")) avro(codec);
    parquet("v1-two-level-lists", WriterVersion.PARQUET_1_0, CompressionCodecName.SNAPPY, true);
    parquet("v2-three-level-lists", WriterVersion.PARQUET_2_0, CompressionCodecName.LZ4_RAW, false);
    for (CompressionCodecName codec : List.of(CompressionCodecName.GZIP, CompressionCodecName.ZSTD, CompressionCodecName.LZ4))
      parquet("codec-" + codec.name().toLowerCase(), WriterVersion.PARQUET_1_0, codec, false);
    dictionaryFallback(WriterVersion.PARQUET_1_0, "dictionary-fallback-v1");
    dictionaryFallback(WriterVersion.PARQUET_2_0, "dictionary-fallback-v2");
    legacy();
  }

  // What is written

  static String field(String name, String type) {
    return "{\"name\": \"" + name + "\", \"type\": " + type + "}";
  }

  static String logical(String type, String name) {
    return "{\"type\": \"" + type + "\", \"logicalType\": \"" + name + "\"}";
  }

  static Schema schema(boolean forParquet) {
    List<String> fields = new ArrayList<>(List.of(
        field("id", "\"string\""), field("n", "\"long\""), field("i", "\"int\""), field("f", "\"float\""),
        field("d", "\"double\""), field("ok", "\"boolean\""), field("raw", "\"bytes\""),
        field("maybe", "[\"null\", \"string\"]"),
        field("kind", "{\"type\": \"enum\", \"name\": \"Kind\", \"symbols\": [\"view\", \"buy\"]}"),
        field("four", "{\"type\": \"fixed\", \"name\": \"Four\", \"size\": 4}"),
        field("price", "{\"type\": \"bytes\", \"logicalType\": \"decimal\", \"precision\": 38, \"scale\": 9}"),
        field("cents", "{\"type\": \"fixed\", \"name\": \"Cents\", \"size\": 5, \"logicalType\": \"decimal\", \"precision\": 10, \"scale\": 2}"),
        field("day", logical("int", "date")), field("time_ms", logical("int", "time-millis")),
        field("time_us", logical("long", "time-micros")), field("at_ms", logical("long", "timestamp-millis")),
        field("at_us", logical("long", "timestamp-micros")), field("at_ns", logical("long", "timestamp-nanos")),
        field("local_ms", logical("long", "local-timestamp-millis")), field("local_us", logical("long", "local-timestamp-micros")),
        field("local_ns", logical("long", "local-timestamp-nanos")), field("uid", logical("string", "uuid")),
        field("counts", "{\"type\": \"map\", \"values\": \"long\"}"),
        field("tags", "{\"type\": \"array\", \"items\": \"string\"}"),
        field("items", "{\"type\": \"array\", \"items\": {\"type\": \"record\", \"name\": \"Item\", \"fields\": ["
            + field("sku", "\"string\"") + ", " + field("amount", "[\"null\", \"double\"]") + "]}}"),
        field("place", "{\"type\": \"record\", \"name\": \"Place\", \"fields\": [" + field("city", "[\"null\", \"string\"]") + "]}")));
    if (!forParquet) {
      fields.add(field("either", "[\"null\", \"long\", \"string\", \"Place\"]"));
      fields.add(field("exact", logical("bytes", "big-decimal")));
      fields.add(field("uid16", "{\"type\": \"fixed\", \"name\": \"Uid\", \"size\": 16, \"logicalType\": \"uuid\"}"));
    }
    return new Schema.Parser().parse("{\"type\": \"record\", \"name\": \"Event\", \"fields\": [" + String.join(", ", fields) + "]}");
  }

  static List<GenericRecord> rows(Schema schema) {
    Instant[] instants = {Instant.parse("2026-01-01T12:00:00.123456789Z"), Instant.parse("1969-12-31T23:59:59.999999999Z"), Instant.parse("1883-01-01T00:00:00Z")};
    List<GenericRecord> rows = new ArrayList<>();
    for (int row = 0; row < instants.length; row++) rows.add(row(schema, row, instants[row]));
    return rows;
  }

  static GenericRecord row(Schema schema, int row, Instant at) {
    Map<String, Object> values = new HashMap<>();
    LocalDateTime local = LocalDateTime.ofInstant(at, ZoneOffset.UTC);
    values.put("id", "e" + row + " \u00e9\ud83d\ude00");
    values.put("n", new long[] {Long.MAX_VALUE, Long.MIN_VALUE, 9007199254740993L}[row]);
    values.put("i", new int[] {Integer.MAX_VALUE, Integer.MIN_VALUE, 0}[row]);
    values.put("f", new float[] {0.1f, Float.NaN, -0.0f}[row]);
    values.put("d", new double[] {0.1, Double.NEGATIVE_INFINITY, 5e-324}[row]);
    values.put("ok", row == 0);
    values.put("raw", ByteBuffer.wrap(new byte[] {52, 50, (byte) (row == 0 ? 50 : 255)}));
    values.put("maybe", row == 1 ? null : "some");
    values.put("kind", new GenericData.EnumSymbol(schema.getField("kind").schema(), row == 0 ? "view" : "buy"));
    values.put("four", new GenericData.Fixed(schema.getField("four").schema(), new byte[] {0, 1, 2, (byte) 255}));
    values.put("price", new BigDecimal(new String[] {"12345678901234567890123456789.123456789", "-0.000000001", "42.000000000"}[row]));
    values.put("cents", new BigDecimal(new String[] {"42.00", "-99999999.99", "0.10"}[row]));
    values.put("day", local.toLocalDate());
    values.put("time_ms", local.toLocalTime().truncatedTo(java.time.temporal.ChronoUnit.MILLIS));
    values.put("time_us", local.toLocalTime().truncatedTo(java.time.temporal.ChronoUnit.MICROS));
    values.put("at_ms", at.truncatedTo(java.time.temporal.ChronoUnit.MILLIS));
    values.put("at_us", at.truncatedTo(java.time.temporal.ChronoUnit.MICROS));
    values.put("at_ns", at);
    values.put("local_ms", local.truncatedTo(java.time.temporal.ChronoUnit.MILLIS));
    values.put("local_us", local.truncatedTo(java.time.temporal.ChronoUnit.MICROS));
    values.put("local_ns", local);
    values.put("uid", new UUID(0x0123456789abcdefL, row));
    values.put("uid16", new UUID(0x0123456789abcdefL, row));
    values.put("counts", row == 1 ? Map.of() : new TreeMap<>(Map.of("a", 1L, "b", Long.MAX_VALUE)));
    values.put("tags", row == 1 ? List.of() : List.of("x", "y"));
    values.put("items", List.of(item(schema, "s1", null), item(schema, "s2", 1.5)));
    GenericRecord place = new GenericData.Record(schema.getField("place").schema());
    place.put("city", row == 0 ? "K\u00f6ln" : null);
    values.put("place", place);
    values.put("either", new Object[] {7L, "seven", place}[row]);
    values.put("exact", new BigDecimal(new String[] {"1.10", "1E+3", "-0.001"}[row]));
    GenericRecord record = new GenericData.Record(schema);
    for (Schema.Field field : schema.getFields()) record.put(field.name(), values.get(field.name()));
    return record;
  }

  static GenericRecord item(Schema schema, String sku, Double amount) {
    GenericRecord item = new GenericData.Record(schema.getField("items").schema().getElementType());
    item.put("sku", sku);
    item.put("amount", amount);
    return item;
  }

  // How it is written, and read back

  static GenericData model() {
    GenericData model = new GenericData();
    for (Conversion<?> conversion : List.of(
        new Conversions.DecimalConversion(), new Conversions.BigDecimalConversion(), new Conversions.UUIDConversion(),
        new TimeConversions.DateConversion(), new TimeConversions.TimeMillisConversion(), new TimeConversions.TimeMicrosConversion(),
        new TimeConversions.TimestampMillisConversion(), new TimeConversions.TimestampMicrosConversion(),
        new TimeConversions.TimestampNanosConversion(), new TimeConversions.LocalTimestampMillisConversion(),
        new TimeConversions.LocalTimestampMicrosConversion(), new TimeConversions.LocalTimestampNanosConversion()))
      model.addLogicalTypeConversion(conversion);
    return model;
  }

  @SuppressWarnings("unchecked")
  static void avro(String codec) throws Exception {
    File file = folder.resolve("java-" + codec + ".avro").toFile();
    Schema schema = schema(false);
    try (DataFileWriter<GenericRecord> writer = new DataFileWriter<>(MODEL.createDatumWriter(schema))) {
      writer.setCodec(CodecFactory.fromString(codec));
      writer.create(schema, file);
      for (GenericRecord row : rows(schema)) {
        writer.append(row);
        if (row.get("ok").equals(true)) writer.sync();
      }
    }
    List<Object> back = new ArrayList<>();
    try (DataFileReader<GenericRecord> reader = new DataFileReader<>(file, MODEL.createDatumReader(schema))) {
      for (GenericRecord row : reader) back.add(json(row));
    }
    record(file.getName(), back);
  }

  static void parquet(String name, WriterVersion version, CompressionCodecName codec, boolean oldLists) throws Exception {
    Configuration how = new Configuration();
    how.setBoolean("parquet.avro.write-old-list-structure", oldLists);
    String file = "parquet-java-" + name + ".parquet";
    Schema schema = schema(true);
    try (ParquetWriter<GenericRecord> writer = AvroParquetWriter.<GenericRecord>builder(new LocalOutputFile(folder.resolve(file)))
        .withSchema(schema).withConf(how).withDataModel(MODEL).withWriterVersion(version).withCompressionCodec(codec).build()) {
      for (GenericRecord row : rows(schema)) writer.write(row);
    }
    readBack(file, how);
  }

  static void dictionaryFallback(WriterVersion version, String name) throws Exception {
    Schema schema = new Schema.Parser().parse("{\"type\": \"record\", \"name\": \"Event\", \"fields\": ["
        + field("id", "\"string\"") + ", " + field("few", "\"string\"") + ", " + field("n", "\"long\"") + "]}");
    String file = "parquet-java-" + name + ".parquet";
    try (ParquetWriter<GenericRecord> writer = AvroParquetWriter.<GenericRecord>builder(new LocalOutputFile(folder.resolve(file)))
        .withSchema(schema).withDataModel(MODEL).withWriterVersion(version).withDictionaryPageSize(512).withPageRowCountLimit(40).build()) {
      for (int row = 0; row < 120; row++) {
        GenericRecord record = new GenericData.Record(schema);
        record.put("id", "event-" + row);
        record.put("few", "kind-" + row % 3);
        record.put("n", 1L << row % 63);
        writer.write(record);
      }
    }
    readBack(file, new Configuration());
  }

  /** What writers before parquet-format 2.0 wrote: lists and maps of older forms, INT96, text without an annotation. */
  static void legacy() throws Exception {
    MessageType type = MessageTypeParser.parseMessageType("message legacy {"
        + " required binary text_without_type; required int96 at; optional int32 small (INT_8);"
        + " required int64 at_ms (TIMESTAMP_MILLIS); required fixed_len_byte_array(16) uid;"
        + " optional group two_level (LIST) { repeated int32 array; }"
        + " optional group tuples (LIST) { repeated group tuples_tuple { required binary text (UTF8); } }"
        + " optional group three_level (LIST) { repeated group bag { optional binary array_element (UTF8); } }"
        + " optional group counts (MAP_KEY_VALUE) { repeated group map { required binary key (UTF8); optional int32 value; } } }");
    String file = "parquet-java-legacy.parquet";
    SimpleGroupFactory groups = new SimpleGroupFactory(type);
    try (ParquetWriter<Group> writer = ExampleParquetWriter.builder(new LocalOutputFile(folder.resolve(file))).withType(type).build()) {
      for (int row = 0; row < 3; row++) {
        Group group = groups.newGroup().append("text_without_type", "42");
        group.append("at", new NanoTime(new int[] {2461042, 2440587, 2305448}[row], new long[] {43200123456000L, 86399999999000L, 0L}[row]));
        group.append("small", row - 1).append("at_ms", 1767268800123L - row * 2000000000000L);
        group.append("uid", Binary.fromConstantByteArray(new byte[] {0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, (byte) row}));
        Group two = group.addGroup("two_level"), tuples = group.addGroup("tuples"), three = group.addGroup("three_level");
        for (int item = 0; item < row; item++) {
          two.append("array", item);
          tuples.addGroup("tuples_tuple").append("text", "t" + item);
          Group bag = three.addGroup("bag");
          if (item == 1) bag.append("array_element", "x");
        }
        if (row > 0) {
          Group entry = group.addGroup("counts").addGroup("map").append("key", "k");
          if (row == 2) entry.append("value", 7);
        }
        writer.write(group);
      }
    }
    Configuration how = new Configuration();
    how.setBoolean("parquet.avro.readInt96AsFixed", true);
    how.setBoolean("parquet.avro.add-list-element-records", false); // by the rules of parquet-format
    readBack(file, how);
  }

  static void readBack(String file, Configuration how) throws Exception {
    List<Object> back = new ArrayList<>();
    try (ParquetReader<GenericRecord> reader = AvroParquetReader.<GenericRecord>builder(new LocalInputFile(folder.resolve(file)))
        .withDataModel(MODEL).withConf(how).build()) {
      for (GenericRecord row = reader.read(); row != null; row = reader.read()) back.add(json(row));
    }
    record(file, back);
  }

  static void record(String file, Object back) throws Exception {
    JSON.writeValue(folder.resolve(file + ".json").toFile(), back);
  }

  // Java's values as JSON

  static Object json(Object value) {
    if (value instanceof GenericRecord record) {
      Map<String, Object> fields = new LinkedHashMap<>();
      for (Schema.Field field : record.getSchema().getFields()) fields.put(field.name(), json(record.get(field.pos())));
      return fields;
    }
    if (value instanceof GenericData.Fixed fixed && fixed.bytes().length == 12) return int96(fixed.bytes());
    if (value instanceof GenericData.Fixed fixed) return bytes(fixed.bytes());
    if (value instanceof ByteBuffer buffer) {
      byte[] content = new byte[buffer.remaining()];
      buffer.duplicate().get(content);
      return bytes(content);
    }
    if (value instanceof List<?> list) return list.stream().map(Writers::json).toList();
    if (value instanceof Map<?, ?> map) {
      Map<String, Object> entries = new TreeMap<>();
      map.forEach((key, item) -> entries.put(key.toString(), json(item)));
      return entries;
    }
    if (value instanceof BigDecimal decimal) return decimal.toPlainString();
    if (value instanceof Float number) return Float.isFinite(number) ? (Object) (double) (float) number : number.toString();
    if (value instanceof Double number) return Double.isFinite(number) ? number : number.toString();
    if (value instanceof Instant instant) return local(LocalDateTime.ofInstant(instant, ZoneOffset.UTC)) + "+00:00";
    if (value instanceof LocalDateTime time) return local(time);
    if (value instanceof LocalTime time) return local(time.atDate(LocalDate.EPOCH)).substring(11);
    if (value == null || value instanceof Number || value instanceof Boolean) return value;
    return value.toString();
  }

  static String local(LocalDateTime time) {
    String fraction = time.getNano() == 0 ? "" : String.format(".%09d", time.getNano()).replaceAll("0+$", "");
    return time.format(java.time.format.DateTimeFormatter.ofPattern("uuuu-MM-dd'T'HH:mm:ss")) + fraction;
  }

  static String bytes(byte[] content) {
    return "data:;base64," + Base64.getEncoder().encodeToString(content);
  }

  static String int96(byte[] content) {
    ByteBuffer buffer = ByteBuffer.wrap(content).order(ByteOrder.LITTLE_ENDIAN);
    long nanos = buffer.getLong();
    return json(Instant.EPOCH.plus(Duration.ofDays(buffer.getInt() - 2440588L)).plusNanos(nanos)).toString();
  }
}
