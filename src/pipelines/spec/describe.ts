/**
 * SPEC.md: what becomes of every field, made of the tables of fields.
 */
import { specFields } from './fields.ts';
import { inputFields } from './input-fields.ts';
import { snakeCase, type Field, type Fields, type Shape } from './shape.ts';

const head = `# Fields of a pipeline spec

Pachyderm's spec, in JSON or YAML. *mapped*: it works here as in Pachyderm. *kept*: it is checked, and matters
on Kubernetes only. *refused*: a spec that has it is an error,
with this reason. Names may be written in camelCase (\`datumTries\`) too; null means that the field is left out.
A list may hold several specs, and so may a file with \`---\` between them. A folder of specs is one graph.
This page is generated from the tables in \`spec/\`: change those.
`;

/** The page, with one table for the spec and one for inputs. */
export function fieldsPage(): string {
  return [
    head,
    '## Spec\n',
    table(rows(specFields, '')),
    '## Inputs\n',
    'One of these, at `input` and in lists of inputs.\n',
    table(rows(inputFields, '')),
  ].join('\n');
}

type Row = readonly [name: string, use: string, values: string, meaning: string];

function rows(fields: Fields, above: string): Row[] {
  return Object.entries(fields).flatMap(([name, field]) => {
    const path = `${above}${snakeCase(name)}`;
    const row: Row = [`\`${path}\``, field.use, valuesOf(field), meaningOf(field)];
    return [row, ...(field.use === 'refused' ? [] : rows(inner(field.shape), `${path}.`))];
  });
}

/** Inputs have a table of their own. */
function inner(shape: Shape): Fields {
  if (shape.kind === 'list') return inner(shape.of);
  return shape.kind === 'fields' && shape.fields !== inputFields ? shape.fields : {};
}

function valuesOf(field: Field): string {
  return field.use === 'refused' ? '' : shapeText(field.shape);
}

function shapeText(shape: Shape): string {
  switch (shape.kind) {
    case 'text':
      return shape.oneOf ? shape.oneOf.map((value) => `\`${value}\``).join(', ') : 'text';
    case 'flag':
      return 'true or false';
    case 'whole':
      return 'whole number';
    case 'bytes':
      return 'size';
    case 'cores':
      return 'cores';
    case 'duration':
      return 'time';
    case 'percent':
      return 'share';
    case 'json':
      return shape.holds === 'list' ? 'list, or its JSON as text' : 'object, or its JSON as text';
    case 'map':
      return 'names and texts';
    case 'list':
      return shape.of.kind === 'fields' ? 'list' : `list of ${shapeText(shape.of)}`;
    case 'fields':
      return '';
    case 'inputs':
      return 'list of inputs';
  }
}

function meaningOf(field: Field): string {
  if (field.use === 'refused') return field.why;
  return field.use === 'mapped' && field.needed !== undefined ? `${field.meaning} (required)` : field.meaning;
}

function table(lines: readonly Row[]): string {
  const cells = [['Field', 'Here', 'Value', 'Meaning'], ['---', '---', '---', '---'], ...lines];
  return `${cells.map((row) => `| ${row.map((cell) => cell.replaceAll('|', '\\|')).join(' | ')} |`).join('\n')}\n`;
}
