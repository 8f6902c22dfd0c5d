/** What is asked once, or again and again while the page is looked at: the last answer, and the error of the last try. */
import { useEffect, useState } from 'react';

export interface Loaded<T> {
  readonly value: T | undefined;
  readonly error: unknown;
}

/** @param key - asked anew when it changes; @param everyMs - and so often; 0: once */
export function useLoaded<T>(ask: () => Promise<T>, key: string, everyMs = 0): Loaded<T> {
  const [loaded, setLoaded] = useState<Loaded<T> & { readonly key: string }>({
    key,
    value: undefined,
    error: undefined,
  });
  // biome-ignore lint/correctness/useExhaustiveDependencies: the key stands for what is asked
  useEffect(() => {
    let isOver = false;
    const load = async (): Promise<void> => {
      if (document.hidden && everyMs > 0) return;
      try {
        const value = await ask();
        if (!isOver) setLoaded({ key, value, error: undefined });
      } catch (error) {
        if (!isOver) setLoaded((before) => ({ key, value: before.key === key ? before.value : undefined, error }));
      }
    };
    void load();
    const timer = everyMs > 0 ? setInterval(() => void load(), everyMs) : undefined;
    return () => {
      isOver = true;
      clearInterval(timer);
    };
  }, [key, everyMs]);
  return loaded.key === key ? loaded : { value: undefined, error: undefined };
}

/** The present moment, again every so often. */
export function useNow(everyMs: number): number {
  const [now, setNow] = useState(Date.now);
  useEffect(() => {
    const timer = setInterval(() => setNow(Date.now()), everyMs);
    return () => clearInterval(timer);
  }, [everyMs]);
  return now;
}
