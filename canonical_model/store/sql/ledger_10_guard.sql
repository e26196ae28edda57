-- The ledger's guards: whoever writes postings, they sum to zero, fill and empty the lots they name, and stay.

-- Wallets stay as they are until the end of the transaction. Everything that goes by wallets calls it first;
-- ledger_change_wallets, before wallets are changed, waits for all of those and lets no new one begin. The transaction
-- has its number from here on, before it numbers a transfer: that is how the sealer knows of it.
CREATE OR REPLACE FUNCTION ledger_keep_wallets(p_owner text) RETURNS void
LANGUAGE sql AS $$
    SELECT pg_current_xact_id();
    SELECT pg_advisory_xact_lock_shared(hashtext('ledger_wallet'), hashtext(p_owner))
$$;

CREATE OR REPLACE FUNCTION ledger_change_wallets(p_owner text) RETURNS void
LANGUAGE sql AS $$
    SELECT pg_advisory_xact_lock(hashtext('ledger_wallet'), hashtext(p_owner))
$$;

-- All postings of a transfer come in one statement, as lines 1, 2, …, and sum to zero for each asset. Those of a
-- member's account name a lot of it, no others do. Balances of members and arrears, and lots, move with them.
CREATE OR REPLACE FUNCTION ledger_guard_postings() RETURNS trigger
LANGUAGE plpgsql SET plan_cache_mode = force_generic_plan SET enable_seqscan = off AS $$
DECLARE
    v_wrong bigint;
BEGIN
    SELECT posting.transfer_id INTO v_wrong
    FROM new_posting AS posting
    LEFT JOIN ledger_transfer AS transfer ON transfer.id = posting.transfer_id
    LEFT JOIN ledger_account AS account ON account.id = posting.account_id
    LEFT JOIN ledger_asset AS asset ON asset.id = account.asset_id AND asset.owner = transfer.owner
    LEFT JOIN points_lot AS lot ON lot.id = posting.lot_id AND lot.account_id = posting.account_id
    WHERE asset.id IS NULL OR (account.kind = 'member') <> (lot.id IS NOT NULL)
        OR (posting.lot_id IS NULL) <> (lot.id IS NULL)
    LIMIT 1;
    IF FOUND THEN
        RAISE EXCEPTION 'transfer %: a posting names no account of its owner, or not a lot of its account', v_wrong
            USING ERRCODE = 'integrity_constraint_violation';
    END IF;
    SELECT posting.transfer_id INTO v_wrong
    FROM new_posting AS posting JOIN ledger_account AS account ON account.id = posting.account_id
    GROUP BY posting.transfer_id, account.asset_id HAVING sum(posting.amount) <> 0
    LIMIT 1;
    IF FOUND THEN
        RAISE EXCEPTION 'transfer %: its postings do not sum to zero', v_wrong
            USING ERRCODE = 'integrity_constraint_violation';
    END IF;
    SELECT posting.transfer_id INTO v_wrong
    FROM new_posting AS posting
    GROUP BY posting.transfer_id HAVING min(posting.line) <> 1 OR max(posting.line) <> count(*)
    LIMIT 1;
    IF FOUND THEN
        RAISE EXCEPTION 'transfer %: its postings are not lines 1, 2, … of one statement', v_wrong
            USING ERRCODE = 'integrity_constraint_violation';
    END IF;
    UPDATE ledger_account AS account SET balance = account.balance + moved.amount
    FROM (SELECT account_id, sum(amount)::bigint AS amount FROM new_posting GROUP BY account_id) AS moved
    WHERE account.id = moved.account_id AND account.kind IN ('member', 'arrears');
    UPDATE points_lot AS lot SET remaining = lot.remaining + moved.amount
    FROM (
        SELECT lot_id, sum(amount)::bigint AS amount FROM new_posting WHERE lot_id IS NOT NULL GROUP BY lot_id
    ) AS moved
    WHERE lot.id = moved.lot_id;
    RETURN NULL;
END
$$;

CREATE OR REPLACE TRIGGER ledger_posting_guard AFTER INSERT ON ledger_posting
REFERENCING NEW TABLE AS new_posting FOR EACH STATEMENT EXECUTE FUNCTION ledger_guard_postings();

-- The journal is only ever added to.
CREATE OR REPLACE FUNCTION ledger_refuse_change() RETURNS trigger
LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION '% cannot be changed in this way (%); post a transfer that corrects it', TG_TABLE_NAME, TG_OP
        USING ERRCODE = 'integrity_constraint_violation';
END
$$;

CREATE OR REPLACE TRIGGER ledger_transfer_stays BEFORE UPDATE OR DELETE OR TRUNCATE ON ledger_transfer
FOR EACH STATEMENT EXECUTE FUNCTION ledger_refuse_change();
CREATE OR REPLACE TRIGGER ledger_posting_stays BEFORE UPDATE OR DELETE OR TRUNCATE ON ledger_posting
FOR EACH STATEMENT EXECUTE FUNCTION ledger_refuse_change();
CREATE OR REPLACE TRIGGER ledger_seal_stays BEFORE UPDATE OR DELETE OR TRUNCATE ON ledger_seal
FOR EACH STATEMENT EXECUTE FUNCTION ledger_refuse_change();
