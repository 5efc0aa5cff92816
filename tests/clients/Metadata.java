import java.sql.Connection;
import java.sql.DatabaseMetaData;
import java.sql.DriverManager;
import java.sql.PreparedStatement;
import java.sql.ResultSet;
import java.sql.SQLException;
import java.sql.Statement;
import java.util.ArrayList;
import java.util.List;
import java.util.Properties;

/** What JDBC's clients ask: metadata, prepared statements, fetching in parts, transactions. */
public class Metadata {
    public static void main(String[] arguments) throws SQLException {
        Properties properties = new Properties();
        properties.setProperty("user", "u");
        properties.setProperty("ApplicationName", "metadata");
        String url = "jdbc:postgresql://127.0.0.1:" + arguments[0] + "/satisflow";
        try (Connection connection = DriverManager.getConnection(url, properties)) {
            metadata(connection.getMetaData());
            prepared(connection);
            inParts(connection);
            transactions(connection);
        }
    }

    static List<String> column(ResultSet rows, String name) throws SQLException {
        List<String> values = new ArrayList<>();
        while (rows.next()) {
            values.add(rows.getString(name));
        }
        return values;
    }

    static void metadata(DatabaseMetaData of) throws SQLException {
        System.out.println(of.getDatabaseProductName() + " " + of.getDatabaseMajorVersion() + " " + of.isReadOnly());
        System.out.println("catalogs " + column(of.getCatalogs(), "TABLE_CAT").contains("satisflow"));
        System.out.println("schemas " + column(of.getSchemas(), "TABLE_SCHEM").contains("public"));
        System.out.println("tables " + column(of.getTables(null, "public", "%", new String[] {"TABLE"}), "TABLE_NAME"));
        ResultSet views = of.getTables(null, "public", "kpi%", new String[] {"VIEW"});
        System.out.println("views " + column(views, "TABLE_NAME"));
        try (ResultSet columns = of.getColumns(null, "public", "kpis", "%")) {
            while (columns.next() && columns.getInt("ORDINAL_POSITION") <= 3) {
                System.out.println(columns.getString("COLUMN_NAME") + " " + columns.getString("TYPE_NAME") + " "
                        + columns.getInt("DATA_TYPE"));
            }
        }
        System.out.println("primary keys " + column(of.getPrimaryKeys(null, "public", "kpis"), "COLUMN_NAME"));
        System.out.println("foreign keys " + column(of.getImportedKeys(null, "public", "kpis"), "FKCOLUMN_NAME"));
        System.out.println("indexes " + column(of.getIndexInfo(null, "public", "kpis", false, false), "INDEX_NAME"));
        System.out.println("types " + column(of.getTypeInfo(), "TYPE_NAME").contains("timestamptz"));
        System.out.println("privileges " + column(of.getTablePrivileges(null, "public", "kpis"), "PRIVILEGE"));
        System.out.println("procedures " + (column(of.getFunctions(null, "public", "%"), "FUNCTION_NAME").size()));
    }

    static void prepared(Connection connection) throws SQLException {
        String text = "select value, n, window_end from kpi_latest where kpi = ? and n > ? order by n desc limit 1";
        try (PreparedStatement statement = connection.prepareStatement(text)) {
            System.out.println("parameters " + statement.getParameterMetaData().getParameterTypeName(1));
            // More often than the driver's threshold for a statement with a name, and results in binary.
            for (int round = 0; round < 8; round++) {
                statement.setString(1, "csat");
                statement.setLong(2, round);
                try (ResultSet rows = statement.executeQuery()) {
                    rows.next();
                    boolean some = rows.getBigDecimal(1) != null && rows.getTimestamp(3) != null;
                    boolean all = some && rows.getLong(2) > round;
                    if (!all || round == 7) {
                        System.out.println("prepared " + all);
                    }
                }
            }
        }
    }

    static void inParts(Connection connection) throws SQLException {
        connection.setAutoCommit(false);
        int count = 0;
        try (Statement statement = connection.createStatement()) {
            statement.setFetchSize(50);
            try (ResultSet rows = statement.executeQuery("select event_id from events")) {
                while (rows.next()) {
                    count++;
                }
            }
        }
        connection.commit();
        System.out.println("in parts " + count);
    }

    static void transactions(Connection connection) throws SQLException {
        connection.setReadOnly(true);
        connection.setTransactionIsolation(Connection.TRANSACTION_REPEATABLE_READ);
        try (Statement statement = connection.createStatement()) {
            statement.executeQuery("select 1").close();
            var savepoint = connection.setSavepoint();
            try {
                statement.executeQuery("select nothing");
            } catch (SQLException error) {
                System.out.println("error " + error.getSQLState());
            }
            connection.rollback(savepoint);
            try {
                statement.executeUpdate("delete from kpis");
            } catch (SQLException error) {
                System.out.println("refused " + error.getSQLState());
            }
            connection.rollback();
            statement.setQueryTimeout(20);
            try (ResultSet rows = statement.executeQuery("select count(*) from events")) {
                rows.next();
                System.out.println("after " + rows.getInt(1));
            }
        }
        connection.rollback();
    }
}
