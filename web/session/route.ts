/**
 * Where the page is: the part of the address behind `#`, as a list of words, so that the server needs no rule for it and
 * the browser's own back and forward work.
 */
import { useSyncExternalStore } from 'react';

/** The first words of pages about one host of a fleet: `hosts`, its name. A lone host's pages have none of this. */
const OF_A_HOST = 'hosts';

/** A page of the host that the present page is about. */
export function linkTo(...words: readonly string[]): string {
  const [place, host] = wordsOf(window.location.hash);
  return place === OF_A_HOST && host !== undefined ? linkToHost(host, ...words) : linkToFleet(...words);
}

/** A page about one host of a fleet. */
export function linkToHost(host: string, ...words: readonly string[]): string {
  return linkToFleet(OF_A_HOST, host, ...words);
}

/** A page about the fleet. */
export function linkToFleet(...words: readonly string[]): string {
  return `#/${words.map(encodeURIComponent).join('/')}`;
}

export function goTo(...words: readonly string[]): void {
  window.location.hash = linkTo(...words);
}

export function useRoute(): readonly string[] {
  return wordsOf(useSyncExternalStore(subscribe, () => window.location.hash));
}

function wordsOf(hash: string): readonly string[] {
  return hash
    .replace(/^#\/?/, '')
    .split('/')
    .filter((word) => word !== '')
    .map(decoded);
}

function decoded(word: string): string {
  try {
    return decodeURIComponent(word);
  } catch {
    // Typed by hand; the page of that name is not found then.
    return word;
  }
}

/** All are told in one turn, so that the frame and the page in it change together: between two listeners of the browser React draws. */
const listeners = new Set<() => void>();
window.addEventListener('hashchange', () => {
  for (const listener of [...listeners]) listener();
});

function subscribe(listener: () => void): () => void {
  listeners.add(listener);
  return () => listeners.delete(listener);
}
