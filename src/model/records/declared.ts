/**
 * What a commit was made of outside of any pipeline, as somebody has declared it (FORMAT.md section 7).
 */
import { commitProvenance, type CommitProvenance } from './commit.ts';
import {
  count,
  defaulting,
  listOf,
  recordCodec,
  required,
  text,
  textWithNames,
  type Codec,
  type KeepsUnknown,
} from './record.ts';

/** One statement: what lies at `path` of the commit was made of what lies at `fromPath` of another. */
export interface Declaration {
  /** `/` for all of the commit. */
  readonly path: string;
  readonly from: CommitProvenance;
  /** `/` for all of that commit. */
  readonly fromPath: string;
}

export interface DeclaredRecord extends KeepsUnknown {
  readonly declarations: readonly Declaration[];
  /** What was done, as whoever declared it wrote it down; empty where nobody did. */
  readonly spec: string;
  /** Who declared last, and when, in milliseconds since 1970. */
  readonly who: string;
  readonly time: number;
}

const declaration: Codec<Declaration> = {
  write(writer, { path, from, fromPath }) {
    textWithNames.write(writer, path);
    commitProvenance.write(writer, from);
    textWithNames.write(writer, fromPath);
  },
  read: (reader) => ({
    path: textWithNames.read(reader),
    from: commitProvenance.read(reader),
    fromPath: textWithNames.read(reader),
  }),
};

const codec = recordCodec<DeclaredRecord>({
  declarations: required(1, listOf(declaration, 1024, 24)),
  spec: defaulting(2, text, ''),
  who: required(3, text),
  time: required(4, count),
});

export const encodeDeclared = (record: DeclaredRecord): Buffer => codec.encode(record);
/** Throws `damaged` or `unsupported`. */
export const decodeDeclared = (value: Buffer): DeclaredRecord => codec.decode(value, 'declared provenance');
