// Writes files of Parquet by three JavaScript writers, and beside each, as FILE.json, the rows that its writer reads.

import { writeFileSync } from 'node:fs'
import { gunzipSync } from 'node:zlib'
import dsnp from '@dsnp/parquetjs'
import { asyncBufferFromFile, parquetReadObjects } from 'hyparquet'
import { parquetWriteFile } from 'hyparquet-writer/src/node.js'
import lite from 'parquetjs-lite'

const folder = process.argv[2]
const at = ['2026-01-01T12:00:00.123Z', '1969-12-31T23:59:59.999Z', '1700-01-01T00:00:00.000Z'].map(text => new Date(text))

function keep(name, rows) {
  const text = JSON.stringify(rows)
  writeFileSync(`${folder}/${name}.json`, text.replaceAll(/"<<(-?\d+)>>"/g, '$1'))
}

// JavaScript's values as JSON; `how` says which columns are instants, and so on.
function rendered(value, how) {
  if (value === null || value === undefined) return null
  if (typeof value === 'bigint') return `<<${value}>>`
  if (typeof value === 'number' && !Number.isFinite(value)) return String(value)
  if (value instanceof Uint8Array) return how === 'text' ? Buffer.from(value).toString() : 'data:;base64,' + Buffer.from(value).toString('base64')
  if (value instanceof Date) {
    if (how === 'date') return value.toISOString().slice(0, 10)
    return value.toISOString().slice(0, -1).replace(/\.?0+$/, '') + (how === 'local' ? '' : '+00:00')
  }
  if (Array.isArray(value)) return value.map(item => rendered(item, how))
  if (typeof value === 'object') return Object.fromEntries(Object.entries(value).map(([key, item]) => [key, rendered(item, how)]))
  return value
}

function renderedRows(rows, how = {}) {
  return rows.map(row => Object.fromEntries(Object.entries(row).map(([key, value]) => [key, rendered(value, how[key])])))
}

async function byHyparquet(name, codec) {
  const file = `hyparquet-writer-${name}.parquet`
  parquetWriteFile({
    filename: `${folder}/${file}`,
    codec,
    columnData: [
      { name: 'id', data: ['e1', 'e2 é😀', 'e3'], type: 'STRING' },
      { name: 'n', data: [9223372036854775807n, -9223372036854775808n, 9007199254740993n], type: 'INT64' },
      { name: 'i', data: [2147483647, -2147483648, 0], type: 'INT32' },
      { name: 'd', data: [0.1, Infinity, NaN], type: 'DOUBLE' },
      { name: 'ok', data: [true, false, true], type: 'BOOLEAN' },
      { name: 'raw', data: [new Uint8Array([52, 50]), new Uint8Array([255]), new Uint8Array([])], type: 'BYTE_ARRAY' },
      { name: 'maybe', data: ['some', null, null], type: 'STRING', nullable: true },
      { name: 'at', data: at, type: 'TIMESTAMP' },
      { name: 'doc', data: [{ a: [1, 2] }, { b: 'x' }, {}], type: 'JSON' },
      { name: 'uid', data: Array(3).fill('01234567-89ab-cdef-0000-00000000000a'), type: 'UUID' },
    ],
  })
  keep(file, renderedRows(await byHyparquetsReader(`${folder}/${file}`)))
}

async function byParquetjs(library, name, codec, read) {
  const file = `${name}.parquet`
  const schema = new library.ParquetSchema({
    id: { type: 'UTF8', compression: codec },
    n: { type: 'INT64', compression: codec },
    i: { type: 'INT32' },
    d: { type: 'DOUBLE' },
    f: { type: 'FLOAT' },
    ok: { type: 'BOOLEAN' },
    raw: { type: 'BYTE_ARRAY', optional: true },
    maybe: { type: 'UTF8', optional: true },
    at_ms: { type: 'TIMESTAMP_MILLIS' },
    at_us: { type: 'TIMESTAMP_MICROS' },
    day: { type: 'DATE' },
    tags: { type: 'UTF8', repeated: true },
    items: { repeated: true, fields: { sku: { type: 'UTF8' }, amount: { type: 'DOUBLE', optional: true } } },
    place: { fields: { city: { type: 'UTF8', optional: true } } },
    doc: { type: 'JSON' },
  })
  const writer = await library.ParquetWriter.openFile(schema, `${folder}/${file}`)
  for (let row = 0; row < 3; row++) {
    await writer.appendRow({
      id: `e${row} é😀`, n: [9007199254740991, -9007199254740991, 0][row], i: [2147483647, -2147483648, 0][row],
      d: [0.1, -1.5e300, 2.5][row], f: 0.1, ok: row === 0, raw: row === 2 ? undefined : Buffer.from('42'),
      maybe: row === 1 ? undefined : 'some', at_ms: at[row], at_us: at[row], day: new Date(at[row].toISOString().slice(0, 10)),
      tags: [[], ['x'], ['x', 'y']][row], items: row === 0 ? [] : [{ sku: 's1' }, { sku: 's2', amount: 1.5 }],
      place: { city: row === 0 ? undefined : 'Köln' }, doc: { a: [1, 2] },
    })
  }
  await writer.close()
  keep(file, renderedRows(await read(`${folder}/${file}`), { day: 'date' }))
}

async function byDsnp(path) {
  const reader = await dsnp.ParquetReader.openFile(path)
  const cursor = reader.getCursor()
  const rows = []
  for (let row = await cursor.next(); row; row = await cursor.next()) rows.push(row)
  await reader.close()
  return rows
}

// parquetjs-lite 0.8.7 can't read the timestamps that it writes: "Cannot convert a BigInt value to a number".
async function byHyparquetsReader(path) {
  const compressors = { GZIP: bytes => new Uint8Array(gunzipSync(bytes)) }
  return parquetReadObjects({ file: await asyncBufferFromFile(path), utf8: false, compressors })
}

await byHyparquet('snappy', 'SNAPPY')
await byHyparquet('uncompressed', 'UNCOMPRESSED')
await byParquetjs(lite, 'parquetjs-lite-gzip', 'GZIP', byHyparquetsReader)
await byParquetjs(lite, 'parquetjs-lite-snappy', 'SNAPPY', byHyparquetsReader)
await byParquetjs(dsnp, 'dsnp-parquetjs-gzip', 'GZIP', byDsnp)
await byParquetjs(dsnp, 'dsnp-parquetjs-brotli', 'BROTLI', byDsnp)
