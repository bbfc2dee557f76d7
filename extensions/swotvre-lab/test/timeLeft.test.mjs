import assert from 'node:assert/strict';
import { test } from 'node:test';

import {
  findDueWarning,
  sayDocuments,
  sayDuration,
  sayStatus,
  sayTime
} from '../lib/timeLeft.js';

test('a duration is said in hours and minutes', () => {
  const said = [0, 59, 60, 119, 3599, 3600, 3660, 11520, 90000].map(sayDuration);
  assert.deepEqual(said, [
    'less than 1 min',
    'less than 1 min',
    '1 min',
    '1 min',
    '59 min',
    '1 h',
    '1 h 1 min',
    '3 h 12 min',
    '25 h'
  ]);
});

test('the status names size and time left', () => {
  assert.equal(sayStatus('medium', 11520), 'medium · 3 h 12 min left');
  assert.equal(sayStatus('medium', 0), 'medium · ending now');
  assert.equal(sayStatus('medium', null), 'medium');
});

test('another day is named', () => {
  const now = new Date(2026, 10, 21, 22, 0);
  assert.equal(sayTime(new Date(2026, 10, 21, 23, 5), now, 'en-GB'), '23:05');
  assert.match(
    sayTime(new Date(2026, 10, 22, 6, 0), now, 'en-GB'),
    /^Sun,? 22 Nov, 06:00$/
  );
});

test('each warning is given once, when it is due', () => {
  const given = [];
  let last = null;
  for (let left = 2000; left > 0; left -= 30) {
    const due = findDueWarning(left, [30, 10, 2], last);
    if (due !== null) {
      last = due;
      given.push([due, left]);
    }
  }
  assert.deepEqual(given, [
    [30, 1790],
    [10, 590],
    [2, 110]
  ]);
});

test('a page opened late gives the latest warning only', () => {
  assert.equal(findDueWarning(500, [30, 10, 2], null), 10);
  assert.equal(findDueWarning(500, [2, 10, 30], 10), null);
});

test('nothing is said far from the end, nor after it, nor without warnings', () => {
  assert.equal(findDueWarning(1801, [30, 10, 2], null), null);
  assert.equal(findDueWarning(0, [30, 10, 2], null), null);
  assert.equal(findDueWarning(60, [], null), null);
});

test('one document is not "1 open documents"', () => {
  assert.equal(sayDocuments(1), '1 open document');
  assert.equal(sayDocuments(3), '3 open documents');
});
