/**
 * Files of the disk cache that native threads answer reads from. Each takes descriptors, so only those
 * used last are attached.
 */
import type { FuseSession } from './fuse-addon.ts';
import type { LocalView, View, ViewNode } from './view.ts';

export class AttachedFiles {
  private readonly view: View;
  private readonly session: FuseSession;
  private readonly max: number;
  /** By inode number, the one used last at the end. */
  private readonly files = new Map<number, LocalView>();

  constructor(view: View, session: FuseSession, max: number) {
    this.view = view;
    this.session = session;
    this.max = max;
  }

  /** Attaches the file of a node. Undefined where the disk cache has none, or no descriptor is left. */
  async of(node: ViewNode): Promise<LocalView | undefined> {
    const known = this.known(node);
    if (known) return known;
    const local = await this.view.local(node);
    if (!local) return undefined;
    // Another reader may have attached it meanwhile.
    const other = this.known(node);
    if (other) {
      local.close();
      return other;
    }
    this.detach(node.ino);
    try {
      this.session.attach(node.ino, local);
    } catch {
      // No descriptor is left: it is read without the disk cache.
      local.close();
      return undefined;
    }
    this.files.set(node.ino, local);
    local.onGone(() => {
      if (this.files.get(node.ino) === local) this.detach(node.ino);
    });
    const [oldest] = this.files.keys();
    if (this.files.size > this.max && oldest !== undefined) this.detach(oldest);
    return local;
  }

  /** Fetches what follows a read of an attached file, and asks to be told when the reader has come to it. */
  readAhead(ino: number, offset: number, length: number, waits: boolean): void {
    const mark = this.files.get(ino)?.readAhead(ino, offset, length, waits);
    if (mark !== undefined) this.session.setMark(ino, mark);
  }

  private known({ ino, ref }: ViewNode): LocalView | undefined {
    const known = this.files.get(ino);
    // The kernel may have forgotten the inode, and its number may be another file's by now.
    if (!known || !ref || !known.hash.equals(ref.hash) || !this.session.isAttached(ino)) return undefined;
    this.files.delete(ino);
    this.files.set(ino, known);
    return known;
  }

  private detach(ino: number): void {
    const local = this.files.get(ino);
    if (!local) return;
    this.files.delete(ino);
    this.session.detach(ino);
    local.close();
  }
}
