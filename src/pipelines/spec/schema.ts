/**
 * JSON Schema (draft 2020-12) of specs, for editors, made of the tables of fields.
 */
import { specFields } from './fields.ts';
import { inputFields } from './input-fields.ts';
import { snakeCase, type Field, type Fields, type Shape } from './shape.ts';

type Schema = Readonly<Record<string, unknown>>;

const sizePattern = '^\\d+(\\.\\d*)?([eE]\\d+|([kKMGTPE]i?)?B?)$';
const coresPattern = '^\\d+(\\.\\d+)?m?$';
const percentPattern = '^\\d{1,3}(\\.\\d+)?%$';
const durationPattern = '^((\\d+(\\.\\d*)?|\\.\\d+)(ns|us|µs|μs|ms|s|m|h))+$';

/** The schema of a file with one spec or a list of them. */
export function specSchema(): Schema {
  return {
    $schema: 'https://json-schema.org/draft/2020-12/schema',
    title: 'Pipeline spec of pachmount',
    description: 'Names may be written in camelCase or in snake_case.',
    anyOf: [{ $ref: '#/$defs/pipeline' }, { type: 'array', items: { $ref: '#/$defs/pipeline' } }],
    $defs: { pipeline: objectOf(specFields), input: objectOf(inputFields) },
  };
}

function objectOf(fields: Fields): Schema {
  const properties: Record<string, Schema> = {};
  for (const [name, field] of Object.entries(fields)) {
    const schema = schemaOfField(field);
    properties[name] = schema;
    properties[snakeCase(name)] = schema;
  }
  const needed = Object.entries(fields).filter(([, field]) => field.use === 'mapped' && field.needed !== undefined);
  const names = needed.map(([name]) => name);
  return {
    type: 'object',
    additionalProperties: false,
    properties,
    ...(names.length > 0 && { required: names }),
  };
}

function schemaOfField(field: Field): Schema {
  if (field.use === 'refused') {
    return { description: `Not supported: ${field.why}.`, deprecated: true, enum: [null, false, '', 0, []] };
  }
  const on = field.use === 'kept' ? ' (on Kubernetes)' : '';
  return { description: `${field.meaning}${on}.`, ...schemaOf(field.shape) };
}

function schemaOf(shape: Shape): Schema {
  switch (shape.kind) {
    case 'text':
      return shape.oneOf ? { enum: shape.oneOf } : { type: 'string' };
    case 'json':
      return { type: [shape.holds === 'list' ? 'array' : 'object', 'string'], contentMediaType: 'application/json' };
    case 'flag':
      return { type: 'boolean' };
    case 'whole': {
      const { min, max } = shape;
      return { type: ['integer', 'string'], pattern: '^\\d+$', minimum: min, ...limit(max) };
    }
    case 'bytes':
      return { type: ['integer', 'string'], pattern: sizePattern, minimum: 0 };
    case 'cores':
      return { type: ['number', 'string'], pattern: coresPattern, minimum: 0 };
    case 'duration':
      return { type: 'string', pattern: durationPattern };
    case 'percent':
      return { type: 'string', pattern: percentPattern };
    case 'map':
      return { type: 'object', additionalProperties: { type: 'string' } };
    case 'list':
      return { type: 'array', items: schemaOf(shape.of) };
    case 'fields':
      return shape.fields === inputFields ? { $ref: '#/$defs/input' } : objectOf(shape.fields);
    case 'inputs':
      return { type: 'array', minItems: 1, items: { $ref: '#/$defs/input' } };
  }
}

function limit(max: number): Schema {
  return max === Number.MAX_SAFE_INTEGER ? {} : { maximum: max };
}
