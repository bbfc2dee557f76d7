import assert from 'node:assert/strict';
import { test } from 'node:test';

import { LONGEST_MESSAGE, sayDeath, ToldDeaths } from '../lib/kernelDeaths.js';

/** What `localStorage` is to the tabs of one browser. */
function makeStore() {
  const texts = new Map();
  return {
    getItem: key => texts.get(key) ?? null,
    setItem: (key, text) => void texts.set(key, text)
  };
}

const death = (second, memory = true) => ({
  name: `pass${second}.ipynb`,
  time: `2026-11-21T18:00:0${second}.000000Z`,
  memory
});

test('a killed kernel is told of once, in all tabs and after a reload', () => {
  const store = makeStore();
  const deaths = [death(1), death(2)];
  assert.deepEqual(new ToldDeaths(store, 'a').takeNew(deaths), deaths);
  assert.deepEqual(new ToldDeaths(store, 'a').takeNew(deaths), []);
  deaths.push(death(3));
  assert.deepEqual(new ToldDeaths(store, 'a').takeNew(deaths), [death(3)]);
});

test('another session has deaths of its own', () => {
  const store = makeStore();
  new ToldDeaths(store, 'a').takeNew([death(1)]);
  assert.deepEqual(new ToldDeaths(store, 'b').takeNew([death(1)]), [death(1)]);
});

test('of a kernel that ended for another reason JupyterLab itself tells', () => {
  const told = new ToldDeaths(makeStore(), 'a');
  assert.deepEqual(told.takeNew([death(1, false)]), []);
});

test('the message names notebook, memory and what to do', () => {
  assert.equal(
    sayDeath('eddies.ipynb', 8),
    "The kernel of eddies.ipynb was killed: the session's memory of 8 GiB is used up. " +
      'Close other kernels, or start a larger session.'
  );
  assert.match(sayDeath('a.ipynb', 0.5), /memory of 0\.5 GiB is/);
  assert.match(sayDeath('a.ipynb', null), /the session's memory is used up/);
});

test('a long path is shortened so that JupyterLab does not cut the advice off', () => {
  const inFolders = sayDeath('studies/agulhas/2026/rings.ipynb', 128);
  assert.match(inFolders, /kernel of rings\.ipynb was .* larger session\.$/);
  const long = sayDeath(`${'very-'.repeat(30)}long.ipynb`, 128);
  assert.equal(long.length, LONGEST_MESSAGE);
  assert.match(long, /kernel of ….*long\.ipynb was .* larger session\.$/);
});
