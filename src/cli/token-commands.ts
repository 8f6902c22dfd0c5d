/** `godwit token`: tokens of an API, each with a name and rights of its own. */
import { randomBytes } from 'node:crypto';
import type { Command } from 'commander';
import { parseInput } from '../api/input-error.ts';
import { RIGHTS, type Right } from '../api/right.ts';
import { addEntry, digestOf, formatEntry } from '../api/tokens-file.ts';
import { NameSchema } from '../api/vm-schema.ts';
import { GodwitError } from '../base/errors.ts';
import type { CommandContext } from './command-context.ts';
import { printResult } from './io.ts';

interface NewFlags {
  readonly rights: string;
  readonly file?: string;
}

/** Nobody guesses one, so its digest need not be slow (as that of a password). */
const TOKEN_BYTES = 32;
/** Tells a token that has got into a file or a log from other random text, such as the digests in the file. */
const PREFIX = 'gwt_';

export function addTokenCommands(program: Command, context: CommandContext): void {
  const token = program.command('token').description('tokens of an API, each with a name and rights');
  token
    .command('new')
    .description('make a token: it is shown this once; the file of tokens has only what it is known by')
    .argument('<name>', 'who has it, as the audit log and refusals name him')
    .requiredOption('--rights <rights>', `what it may do, separated by commas: ${RIGHTS.join(', ')}`)
    .option('--file <file>', 'add it to this file (tokensFile, --tokens-file), which is made if it is not there')
    .action((given: string, _flags: NewFlags, command: Command) => {
      const { rights: wanted, file } = context.options<NewFlags>(command);
      const name = parseInput(NameSchema, given, 'NAME');
      const rights = parseRights(wanted);
      const text = `${PREFIX}${randomBytes(TOKEN_BYTES).toString('base64url')}`;
      const entry = { name, digest: digestOf(text), rights };
      if (file !== undefined) addEntry(file, entry, '--file');
      const result = { name, rights, token: text, sha256: entry.digest.toString('hex') };
      printResult(context.output(command), result, () => {
        const where =
          file === undefined
            ? `Add to the file of --tokens-file (tokensFile):\n${formatEntry(entry)}`
            : `Added to ${file}: a daemon that has the file takes it at once.`;
        return `Token of ${name}, shown this once: ${text}\n${where}`;
      });
    });
}

function parseRights(text: string): Right[] {
  return text.split(',').map((each) => {
    const right = RIGHTS.find((known) => known === each.trim());
    if (right !== undefined) return right;
    const fix = `give some of ${RIGHTS.join(', ')}, separated by commas`;
    throw new GodwitError('GW_INPUT_INVALID', { field: '--rights', value: text, fix });
  });
}
