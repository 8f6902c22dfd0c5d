/** A migration's thread that hears nothing any more after its input, and dies when it is told to through shared memory. */
import { takeInput } from '../../src/migration/thread-input.ts';

/** [0] not 0: die. */
const words = await takeInput<Int32Array<SharedArrayBuffer>>();
Atomics.wait(words, 0, 0);
throw new Error('it was told to die');
