"""What tests share: fixtures, fakes and helpers, and no tests."""
