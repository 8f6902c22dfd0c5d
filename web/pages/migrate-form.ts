/**
 * What a person has typed into the form of a migration, and the request that it stands for.
 *
 * Pure. Must hold: an empty field is the host's own default, and is left out of the request.
 */
import type { MigrateBody } from '../../src/api/migration-schema.ts';
import { asGodwitError, hasCode } from '../../src/base/errors.ts';
import { parseDurationMs, parseRate } from '../../src/base/units.ts';

export interface MigrateForm {
  readonly mode: NonNullable<MigrateBody['mode']>;
  readonly finishBy: string;
  readonly bandwidth: string;
  readonly maxDowntime: string;
  readonly throttle: boolean;
  readonly verify: boolean;
}

export type LimitFields = Pick<MigrateForm, 'finishBy' | 'bandwidth' | 'maxDowntime'>;
export type WrongFields = Partial<Record<keyof LimitFields, string>>;
export type Limits = Pick<MigrateBody, 'finishByMs' | 'bandwidthBytesPerSecond' | 'maxDowntimeMs'>;

export const EMPTY_FORM: MigrateForm = {
  mode: 'auto',
  finishBy: '',
  bandwidth: '',
  maxDowntime: '',
  throttle: true,
  verify: false,
};

export const MODES: readonly { readonly value: MigrateForm['mode']; readonly text: string; readonly hint: string }[] = [
  {
    value: 'auto',
    text: 'Automatic',
    hint: 'Copies first, slows the VM if need be, and fetches the rest afterwards if that will not do.',
  },
  {
    value: 'pre-copy',
    text: 'Pre-copy',
    hint: 'All memory is there before the VM moves. A VM that writes a lot may never get there.',
  },
  {
    value: 'post-copy',
    text: 'Post-copy',
    hint: 'The VM moves at once and fetches its memory afterwards. It needs both hosts until then.',
  },
  {
    value: 'hybrid',
    text: 'Hybrid',
    hint: 'Copies once, then the VM moves and fetches what it has written meanwhile.',
  },
];

export function readForm(form: MigrateForm, to: string): { body?: MigrateBody; wrong: WrongFields } {
  const { limits, wrong } = readLimits(form);
  if (form.mode === 'pre-copy' && limits.finishByMs !== undefined && wrong.finishBy === undefined) {
    wrong.finishBy = 'Choose another mode: pre-copy has no end that could be promised.';
  }
  if (Object.keys(wrong).length > 0) return { wrong };
  const body: MigrateBody = {
    to,
    mode: form.mode,
    ...limits,
    ...(form.throttle ? {} : { throttle: { enabled: false } }),
    ...(form.verify ? { verify: true } : {}),
  };
  return { body, wrong };
}

export function readLimits(form: LimitFields): { limits: Limits; wrong: WrongFields } {
  const limits: Limits = {};
  const wrong: WrongFields = {};
  const read = (field: keyof LimitFields, key: keyof Limits, parse: (text: string) => number): void => {
    const text = form[field].trim();
    if (text === '') return;
    try {
      limits[key] = parse(text);
    } catch (error) {
      const { details, message } = asGodwitError(error);
      wrong[field] = `${String(details['fix'] ?? message)}`.replace(/^give/, 'Give');
    }
  };
  read('finishBy', 'finishByMs', (text) => Math.round(parseDurationMs(text, 'over within')));
  read('bandwidth', 'bandwidthBytesPerSecond', (text) => parseRate(text, 'bandwidth'));
  read('maxDowntime', 'maxDowntimeMs', (text) => parseDurationMs(text, 'downtime'));
  return { limits, wrong };
}

const FIELD_OF: Readonly<Record<string, keyof WrongFields>> = {
  finishByMs: 'finishBy',
  bandwidthBytesPerSecond: 'bandwidth',
  maxDowntimeMs: 'maxDowntime',
} satisfies Partial<Record<keyof MigrateBody, keyof WrongFields>>;

/** What the host has refused, if it is one of these fields. */
export function wrongFieldOf(thrown: unknown): WrongFields | undefined {
  if (!hasCode(thrown, 'GW_INPUT_INVALID')) return undefined;
  const { details, message } = asGodwitError(thrown);
  const field = FIELD_OF[String(details['field'])];
  return field === undefined ? undefined : { [field]: String(details['fix'] ?? message) };
}
