/**
 * Where the page is: the part of the address behind `#`, as a list of words, so that the server needs no rule for it and
 * the browser's own back and forward work.
 */
import { useSyncExternalStore } from 'react';

export function linkTo(...words: readonly string[]): string {
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

function subscribe(listener: () => void): () => void {
  window.addEventListener('hashchange', listener);
  return () => window.removeEventListener('hashchange', listener);
}
