import { expect, test } from 'vitest';
import { GodwitError } from '../base/errors.ts';
import { insist } from './insist.ts';

function failing(...codes: string[]) {
  return () => {
    const reason = codes.shift();
    if (reason !== undefined) throw new GodwitError('GW_INTERNAL', { reason });
    return 'done';
  };
}

test('tries until it succeeds, and tells each reason once', async () => {
  const notes: string[] = [];
  const note = (text: string): void => void notes.push(text);
  const done = await insist(failing('no room', 'no room', 'no luck'), { what: 'Writing', note, pauseMs: 0 });
  expect(done).toBe('done');
  expect(notes).toHaveLength(2);
  expect(notes[0]).toMatch(/^Writing failed and is tried again: .*no room/);
  expect(notes[1]).toContain('no luck');
});

test('gives up what is hopeless', async () => {
  const isHopeless = (error: GodwitError) => error.message.includes('gone');
  const trial = insist(failing('no room', 'gone'), { what: 'Writing', note: () => undefined, isHopeless, pauseMs: 0 });
  await expect(trial).rejects.toThrow('gone');
});
