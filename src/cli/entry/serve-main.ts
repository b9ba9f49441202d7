/**
 * The program that `mount` starts, with the plan on its standard input. What it prints goes to the
 * mount's log file.
 */
import { readFileSync, write } from 'node:fs';
import type { MountPlan } from '../../app/mount-plan.ts';
import { serveMount, type ServeMessage } from '../../app/serve-mount.ts';
import { inSystemWords } from '../../base/system-errors.ts';
import { visibleLines } from '../quote.ts';

const beatMs = 5000;

function log(error: unknown): void {
  const text = error instanceof Error ? (error.stack ?? error.message) : String(error);
  process.stderr.write(`${new Date().toISOString()} ${visibleLines(text)}\n`);
}

/** Tells the parent, which may be gone, and then hears of it no more. */
function report(message: ServeMessage): Promise<void> {
  return new Promise((told) => {
    if (!process.connected || !process.send) return told();
    process.send(message, () => {
      if (process.connected) process.disconnect();
      told();
    });
  });
}

/** The supervisor, if there is one, says to which descriptor. */
function beat(): void {
  const descriptor = Number(process.env['PACHMOUNT_BEATS'] ?? Number.NaN);
  if (!Number.isInteger(descriptor)) return;
  const once = (): void => write(descriptor, '.', () => undefined);
  once();
  setInterval(once, beatMs).unref();
}

async function main(): Promise<never> {
  try {
    const plan = JSON.parse(readFileSync(0, 'utf8')) as MountPlan;
    await serveMount(plan, { report: (message) => void report(message), beat, log });
    process.exit(0);
  } catch (error) {
    log(error);
    const told = inSystemWords(error);
    await report({ failed: told instanceof Error ? told.message : String(told) });
    process.exit(1);
  }
}

void main();
