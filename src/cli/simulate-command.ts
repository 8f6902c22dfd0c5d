/**
 * `godwit fleet simulate` and `godwit fleet record`: plans of fleets that are not there, or were.
 *
 * Must hold: nothing is moved, and but for `record` nothing is asked; the same seed gives the same numbers, but those of planning itself.
 */
import { writeFileSync } from 'node:fs';
import { type Command, InvalidArgumentError, Option } from 'commander';
import { GodwitError } from '../base/errors.ts';
import { parseDurationMs, parseRate, parseSize } from '../base/units.ts';
import { STRATEGY_NAMES, type StrategyName } from '../fleet/strategies.ts';
import { EVEN_MIX, type WorkloadMix } from '../fleet/workload-mix.ts';
import { collectFlag } from './collect-flag.ts';
import type { CommandContext } from './command-context.ts';
import { fleetOptions, withFleet } from './fleet-access.ts';
import { printResult } from './io.ts';
import { renderSimulation } from './simulation-view.ts';

export interface SimulateFlags {
  readonly vms: number;
  readonly hosts: number;
  readonly leave: number;
  readonly residents: number;
  readonly memory: number;
  readonly common: number;
  readonly images?: number;
  readonly mix: WorkloadMix;
  readonly rate: number;
  readonly period: number;
  readonly seed: number;
  readonly fleets: number;
  readonly strategy?: StrategyName[];
  readonly from?: string;
  readonly host?: string;
  readonly to?: string;
}

/** What a recording tells itself. */
const SYNTHETIC = [
  'vms',
  'hosts',
  'leave',
  'residents',
  'memory',
  'common',
  'images',
  'mix',
  'rate',
  'period',
] as const;

export function addSimulateCommands(fleet: Command, context: CommandContext): void {
  const count = (least: number, most: number) => (text: string) => wholeNumber(text, least, most);
  fleet
    .command('simulate')
    .description(
      'plan the evacuation of a fleet that does not exist, or was recorded, and compare ways to do it; nothing is moved',
    )
    .option('--vms <n>', 'VMs on each host that is left', count(1, 1000), 50)
    .option('--hosts <n>', 'hosts, those that are left included', count(2, 1000), 4)
    .option('--leave <n>', 'hosts that all VMs leave', count(1, 999), 1)
    .option('--residents <n>', 'VMs on each other host', count(0, 1000), 0)
    .addOption(sized('--memory <size>', 'of each VM', parseSize).default(4 * 2 ** 30, '4GiB'))
    .addOption(
      new Option('--common <part>', "part of each VM's pages that are as in its image")
        .argParser(parsePart)
        .default(0.6, '60%'),
    )
    .option('--images <n>', 'images that VMs were made of (default: one for 20 VMs)', count(1, 1000))
    .addOption(
      new Option('--mix <workload=n,…>', 'how many VMs do what: idle, web, database, periodic, rewriting')
        .argParser(parseMix)
        .default(EVEN_MIX, 'as many of each'),
    )
    .addOption(sized('--rate <rate>', "of each host's network port", parseRate).default(10e9 / 8, '10Gbit/s'))
    .addOption(
      sized('--period <time>', 'shortest of VMs with a rhythm; the longest is twice that', parseDurationMs).default(
        360_000,
        '6m',
      ),
    )
    .option('--from <file>', 'a recorded fleet instead (`godwit fleet record`)')
    .option('--host <name>', 'with --from: the host that all VMs leave')
    .option('--to <name>', 'with --from: all to this host (default: to where there is room)')
    .option('--seed <n>', 'of all chance', count(0, 2 ** 31 - 1), 1)
    .option('--fleets <n>', 'so many fleets, with this seed and the following ones; medians are told', count(1, 100), 1)
    .addOption(
      new Option(
        '--strategy <name>',
        'only this one; may be given again (default: all, where no more than 200 VMs move)',
      )
        .choices(STRATEGY_NAMES)
        .argParser((text: string, before: string[] | undefined) => collectStrategy(text, before)),
    )
    .action(async (flags: SimulateFlags, command: Command) => {
      refuseMixed(flags, command);
      // Loaded here only: the other commands need no planner.
      const { runSimulation } = await import('./run-simulation.ts');
      const view = runSimulation(flags);
      printResult(context.output(command), view, () => renderSimulation(view));
    });
  fleetOptions(fleet.command('record'))
    .description('write down what plans depend on, for `godwit fleet simulate --from`')
    .argument('<file>', 'to write to; one that is there is not touched')
    .action(async (path: string, _flags: object, command: Command) => {
      const recording = await withFleet(context, command, ({ actions }) => actions.recording());
      writeNew(path, JSON.stringify(recording));
      const vms = recording.outlooks.reduce((sum, outlook) => sum + outlook.vms.length, 0);
      const written = { file: path, hosts: recording.outlooks.length, vms };
      printResult(context.output(command), written, () => `${vms} VMs of ${written.hosts} hosts are in ${path}.`);
    });
}

function sized(flags: string, description: string, parse: (text: string, field: string) => number): Option {
  const [name] = flags.split(' ');
  return new Option(flags, description).argParser((text: string) => {
    const value = parse(text, name!);
    if (value > 0) return value;
    throw new GodwitError('GW_INPUT_INVALID', { field: name!, value: text, fix: 'give more than nothing' });
  });
}

function wholeNumber(text: string, least: number, most: number): number {
  const value = Number(text);
  if (/^\d+$/.test(text) && value >= least && value <= most) return value;
  throw new InvalidArgumentError(`give a whole number from ${least} to ${most}`);
}

function parsePart(text: string): number {
  const match = /^(\d+(?:\.\d+)?)\s*(%?)$/.exec(text);
  const part = match ? Number(match[1]) / (match[2] === '%' ? 100 : 1) : Number.NaN;
  if (part >= 0 && part <= 1) return part;
  throw new InvalidArgumentError('give a part such as 60% or 0.6');
}

function parseMix(text: string): WorkloadMix {
  const fix = `give numbers from 0 to 1000 such as web=3,idle=1, of ${Object.keys(EVEN_MIX).join(', ')}`;
  const given = text.split(',').map((each) => each.split('='));
  const isRight = ([name, number, ...more]: string[]): boolean =>
    Object.hasOwn(EVEN_MIX, name!) && /^\d{1,4}$/.test(number ?? '') && Number(number) <= 1000 && more.length === 0;
  const mix = Object.fromEntries(given.map(([name, number]) => [name!, Number(number)]));
  const sum = Object.values(mix).reduce((all, number) => all + number, 0);
  if (!given.every(isRight) || !(sum > 0) || Object.keys(mix).length < given.length)
    throw new InvalidArgumentError(fix);
  return { ...{ idle: 0, web: 0, database: 0, periodic: 0, rewriting: 0 }, ...mix };
}

function collectStrategy(text: string, before: string[] | undefined): string[] {
  if ((STRATEGY_NAMES as readonly string[]).includes(text)) return collectFlag(text, before);
  throw new InvalidArgumentError(`give one of ${STRATEGY_NAMES.join(', ')}`);
}

/** @throws GW_USAGE, GW_INPUT_MISSING */
function refuseMixed({ from, host }: SimulateFlags, command: Command): void {
  const isGiven = (name: string): boolean => command.getOptionValueSource(name) === 'cli';
  if (from === undefined) {
    const strange = ['host', 'to'].find(isGiven);
    if (strange)
      throw new GodwitError('GW_USAGE', { reason: `--${strange} is for recorded fleets: give --from FILE as well` });
    return;
  }
  const strange = SYNTHETIC.find(isGiven);
  if (strange)
    throw new GodwitError('GW_USAGE', {
      reason: `--${strange} is told by the recording: leave out --${strange} or --from`,
    });
  if (host === undefined)
    throw new GodwitError('GW_INPUT_MISSING', { field: '--host', fix: 'give the host that all VMs leave' });
}

/** @throws GW_INPUT_INVALID */
function writeNew(path: string, text: string): void {
  try {
    writeFileSync(path, text, { flag: 'wx', mode: 0o600 });
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    const fix =
      code === 'EEXIST' ? 'it is there already: give another name' : `give a path that can be written to (${code})`;
    throw new GodwitError('GW_INPUT_INVALID', { field: '<file>', value: path, fix }, { cause: error });
  }
}
