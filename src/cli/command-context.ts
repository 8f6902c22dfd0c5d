/** What every command needs: the surroundings, the global options, and how to say how it ended. */
import type { Command } from 'commander';
import type { GlobalOptions } from './api-connection.ts';
import type { Io, Output } from './io.ts';

/** 0 done, 1 failed, 2 bad usage or input, 3 refused (blocked), 130 cancelled. */
export type ExitStatus = 0 | 1 | 2 | 3 | 130;

export class CommandContext {
  readonly io: Io;
  /** What the process exits with when nothing was thrown. */
  exitStatus: ExitStatus = 0;

  constructor(io: Io) {
    this.io = io;
  }

  options<T extends object = object>(command: Command): GlobalOptions & T {
    return command.optsWithGlobals() as GlobalOptions & T;
  }

  output(command: Command): Output {
    return { json: this.options(command).json === true, io: this.io };
  }
}
