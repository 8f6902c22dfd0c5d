/**
 * The form of a migration while a person fills it in: of one VM or of a group.
 *
 * Must hold: it is sent once at a time; what the host refuses of a field is named there, and anything else is the form's error.
 */
import { useState } from 'react';
import type { MigrateBody } from '../../src/api/migration-schema.ts';
import { EMPTY_FORM, type MigrateForm, readForm, type WrongFields, wrongFieldOf } from './migrate-form.ts';

export interface FormState {
  readonly form: MigrateForm;
  readonly wrong: WrongFields;
  /** undefined: none. */
  readonly error: unknown;
  readonly isStarting: boolean;
  change(changes: Partial<MigrateForm>): void;
  /** Reads the form, and has it sent if nothing is wrong with it. */
  start(to: string, send: (body: MigrateBody) => Promise<void>): Promise<void>;
}

export function useFormState(): FormState {
  const [form, setForm] = useState<MigrateForm>(EMPTY_FORM);
  const [wrong, setWrong] = useState<WrongFields>({});
  const [error, setError] = useState<unknown>(undefined);
  const [isStarting, setStarting] = useState(false);
  const start: FormState['start'] = async (to, send) => {
    if (isStarting) return;
    const { body, wrong: found } = readForm(form, to);
    setWrong(found);
    if (body === undefined) return;
    setStarting(true);
    setError(undefined);
    try {
      await send(body);
    } catch (thrown) {
      setStarting(false);
      const field = wrongFieldOf(thrown);
      if (field === undefined) setError(thrown);
      else setWrong(field);
    }
  };
  return {
    form,
    wrong,
    error,
    isStarting,
    change: (changes) => setForm((before) => ({ ...before, ...changes })),
    start,
  };
}
