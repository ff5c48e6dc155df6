import java.nio.file.Files;
import java.nio.file.Path;
import java.sql.Connection;
import java.sql.DriverManager;
import java.sql.SQLException;
import java.sql.Types;
import java.util.ArrayList;
import java.util.List;

/** JDBC: setString sends varchar, setInt integer, setLong bigint, setBytes bytea; nothing is sent without a type. */
public class Photos {
    private static Connection connection;

    /** The first column of a query's rows. */
    private static List<String> column(String sql, Object... parameters) throws SQLException {
        try (var statement = connection.prepareStatement(sql)) {
            for (int i = 0; i < parameters.length; i++) statement.setObject(i + 1, parameters[i]);
            var found = new ArrayList<String>();
            var rows = statement.executeQuery();
            while (rows.next()) found.add(rows.getString(1));
            return found;
        }
    }

    private static void check(boolean holds, Object found) {
        if (!holds) throw new AssertionError(String.valueOf(found));
    }

    public static void main(String[] arguments) throws Exception {
        var environment = System.getenv();
        connection = DriverManager.getConnection(
            "jdbc:postgresql://127.0.0.1:" + environment.get("PGPORT") + "/" + environment.get("PGDATABASE"),
            environment.get("PGUSER"), environment.get("PGPASSWORD"));
        byte[] cat = Files.readAllBytes(Path.of("photos/animal/cat face.png"));
        var animals = List.of("cat face", "dog face", "frog", "rabbit face");
        var search = "SELECT metadata->>'caption' FROM clip_search('photos', ?, k => ?, filter => ?)";

        var found = column(search, "red apple", 3, null);
        check(found.size() == 3 && found.get(0).equals("red apple"), found);

        found = column(search, "red apple", 10L, "{\"category\": \"animal\"}");
        check(found.stream().sorted().toList().equals(animals), found);
        // A value without a type.
        try (var statement = connection.prepareStatement(search)) {
            statement.setString(1, "frog");
            statement.setInt(2, 1);
            statement.setObject(3, "{\"category\": \"animal\"}", Types.OTHER);
            var rows = statement.executeQuery();
            check(rows.next() && rows.getString(1).equals("frog"), "Types.OTHER");
        }

        long apple = Long.parseLong(column("SELECT id FROM photos WHERE caption = ?", "red apple").get(0));
        found = column("SELECT id FROM clip_search('photos', 'red apple', exclude => ?)", apple);
        check(!found.isEmpty() && !found.contains(String.valueOf(apple)), found);

        check(column(search, cat, 1, null).equals(List.of("cat face")), "search by image");

        found = column("SELECT p.caption FROM clip_search('photos', ?, k => ?) AS f JOIN photos AS p ON p.id = f.id::bigint",
            "frog", 1);
        check(found.equals(List.of("frog")), found);

        found = column("SELECT caption FROM photos ORDER BY embedding <=> clip_embed_text(?) LIMIT ?", "bicycle", 1);
        check(found.equals(List.of("bicycle")), found);

        var labels = connection.createArrayOf("text", new String[] {"cat face", "automobile"});
        found = column("SELECT label FROM clip_classify(?, ?) LIMIT 1", cat, labels);
        check(found.equals(List.of("cat face")), found);

        var insert = "INSERT INTO photos (caption, category, image) VALUES (?, ?, ?) RETURNING id";
        var id = column(insert, "new", "animal", cat).get(0);
        found = column("SELECT id FROM clip_search('photos', ?, k => 2)", cat);
        check(found.contains(id), found);
        try {
            column(insert, "bad", null, "no image".getBytes());
            throw new AssertionError("bytes that are no image were stored");
        } catch (SQLException error) {
            check(error.getSQLState().equals("22P03"), error);
        }
        connection.close();
    }
}
